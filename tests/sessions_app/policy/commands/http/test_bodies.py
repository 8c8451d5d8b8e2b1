"""A body that two readers could take for two things is refused."""

from __future__ import annotations

import pytest

from sessions_app.policy.commands.http.bodies import (
    MAX_BODY,
    MAX_DEPTH,
    BodyRefused,
    canonical_body,
    read_body,
)


@pytest.mark.parametrize(
    ("opened", "closed"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('{"a":[', "]}")],
    ids=["lists", "objects", "objects in lists", "lists in objects"],
)  # fmt: skip
def test_a_body_may_be_nested_so_deep_and_no_deeper_whatever_it_is_nested_in(opened, closed):
    levels = MAX_DEPTH // (opened.count("[") + opened.count("{"))
    read_body(opened * levels + "1" + closed * levels)
    with pytest.raises(BodyRefused, match="deeper than 20 levels"):
        read_body(opened * (levels + 1) + "1" + closed * (levels + 1))


def test_a_body_may_be_so_large_and_no_larger():
    read_body('"' + "a" * (MAX_BODY - 2) + '"')
    with pytest.raises(BodyRefused, match="larger than 256 KiB"):
        read_body('"' + "a" * (MAX_BODY - 1) + '"')


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"a": 1, "a": 1}', "a key of the body is repeated"),
        ('{"a": [{"b": 1, "b": 2}]}', "a key of the body is repeated"),
        ("NaN", "not JSON"), ("[1, -Infinity]", "not JSON"), ("1e999", "is too large"), ('"\\ud800"', "not JSON in UTF-8"),
        (b'"\xff"', "not JSON in UTF-8"), ("", "not JSON"), ("{} {}", "not JSON"), ("[" * 100_000, "not JSON"),
    ],
)  # fmt: skip
def test_what_is_not_one_plain_value_is_refused(body, why):
    with pytest.raises(BodyRefused, match=why):
        read_body(body)


def test_one_body_has_one_text():
    assert canonical_body(read_body('{"b": [1, null, "é"], "a": {"d": true, "c": 0.5}}')) == (
        '{"a":{"c":0.5,"d":true},"b":[1,null,"é"]}'
    )
