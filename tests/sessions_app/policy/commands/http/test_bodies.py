"""A body that two readers could take for two things is refused."""

import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.json_values.bodies import (
    MAX_BODY,
    MAX_DEPTH,
    BodyRefused,
    canonical_body,
    read_body,
)


@pytest.mark.parametrize(
    ("opened", "closed"),
    [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('{"a":[', "]}")],
    ids=["lists", "objects", "objects in lists", "lists in objects"],
)
def test_a_body_may_be_nested_so_deep_and_no_deeper_whatever_it_is_nested_in(opened, closed):
    levels = MAX_DEPTH // (opened.count("[") + opened.count("{"))
    read_body(opened * levels + "1" + closed * levels)
    with pytest.raises(BodyRefused, match="deeper than 20 levels"):
        read_body(opened * (levels + 1) + "1" + closed * (levels + 1))


def test_a_body_may_be_so_large_and_no_larger():
    read_body('"' + "a" * (MAX_BODY - 2) + '"')
    with pytest.raises(BodyRefused, match="larger than 1024 KiB"):
        read_body('"' + "a" * (MAX_BODY - 1) + '"')


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"a": 1, "a": 1}', "the body repeats a key"),
        ('{"a": [{"b": 1, "b": 2}]}', "the body repeats a key"),
        ("NaN", "not JSON"),
        ("[1, -Infinity]", "not JSON"),
        ("0.10000000000000000001", "more digits"),
        ("1e999", "is too large"),
        ('{"a":1e-9999999999999999999999}', "more digits"),
        ("0e9999999999999999999999", "more digits"),
        ('"\\ud800"', "not JSON in UTF-8"),
        (b'"\xff"', "not JSON in UTF-8"),
        ("", "not JSON"),
        ('"a', "not JSON"),
        ("{} {}", "not JSON"),
        ("[" * 40_000, "not JSON"),
    ],
)
def test_what_is_not_one_plain_value_is_refused(body, why):
    with pytest.raises(BodyRefused, match=why):
        read_body(body)


@pytest.mark.parametrize("value", ["[]", "0.5", '"a"', '{"b": 1}'])
def test_a_body_has_so_many_values_and_no_more(value):
    text = '{{"a": [{}]}}'
    assert read_body(text.format(",".join([value] * 16_000)))
    with pytest.raises(BodyRefused, match="more than 50,000 values"):
        read_body(text.format(",".join([value] * 60_000)))


@pytest.mark.parametrize("text", ["a,b[{" * 100_000, '\\",' * 200_000])
def test_marks_in_a_text_are_no_values(text):
    assert read_body(json.dumps({"a": text})) == {"a": text}


@pytest.mark.timing
@pytest.mark.parametrize("body", ['"\\' * 500_000, '\\"' * 500_000, '"' * 1_000_000])
def test_a_text_that_is_not_closed_is_refused_at_once(body):
    began = time.process_time()
    with pytest.raises(BodyRefused):
        read_body(body)
    assert time.process_time() - began < 1


def test_one_body_has_one_text():
    assert canonical_body(read_body('{"b": [1, null, "é"], "a": {"d": true, "c": 0.5}}')) == (
        '{"a":{"c":0.5,"d":true},"b":[1,null,"é"]}'
    )


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_a_number_that_is_sent_on_has_the_value_that_was_sent(text):
    try:
        found = read_body(text)
    except BodyRefused:
        return
    assert Decimal(canonical_body(found)) == Decimal(text)
