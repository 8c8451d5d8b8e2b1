"""How the gateway reads a body before it is decided, and what of an answer passes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.http.carried import MAX_FIELDS, Plan, plan, project, projected
from sessions_app.policy.commands.http.contents import Upload
from sessions_app.policy.commands.http.decide import Allowed, decide_request
from sessions_app.policy.commands.http.limits import (
    ResponseLimit,
    fields_within,
    response_within,
)
from sessions_app.policy.commands.json_values.bodies import MAX_BODY, BodyRefused
from sessions_app.policy.commands.kinds import compile_set, parse_text

TEXT = """
name: a-set
kind: http
summary: For a test
risk: low
commands:
  - {request: "POST /a/{x}", where: {x: {choice: [b, c]}}, body: {}, effect: change}
  - {request: POST /a/b, form: {}, files: {f: {max: 5MB, types: [text/plain]}}, effect: change}
  - {request: POST /a/b, upload: {max: 7MB, types: [application/pdf]}, effect: change}
  - {request: POST /a/c, upload: {max: 1MB, types: [application/pdf]}, hold: true, effect: change}
  - {request: POST /a/d, effect: change}
"""


@pytest.mark.parametrize(
    ("target", "media", "wanted"),
    [
        ("/a/b", "application/json", Plan("json", MAX_BODY)),
        ("/a/b", "application/merge-patch+json", Plan("json", MAX_BODY)),
        ("/a/b", "application/x-www-form-urlencoded", Plan("form", MAX_FIELDS)),
        ("/a/b", "multipart/form-data", Plan("multipart", MAX_FIELDS + 5_000_000, whole=True)),
        ("/a/b", "application/pdf", Plan("upload", 7_000_000)),
        ("/a/b", "text/plain", Plan("none")),
        ("/a/c", "application/pdf", Plan("upload", 1_000_000, whole=True)),
        ("/a/c", "multipart/form-data", Plan("none")),
        ("/a/d", "application/json", Plan("none")),
        ("/a/e", "application/json", Plan("none")),
        ("/a/b?q=1", "application/json", Plan("none")),
        ("/a/../b", "application/json", Plan("none")),
    ],
)
def test_a_body_is_read_as_what_a_rule_could_allow_and_no_further(target, media, wanted):
    assert plan(compile_set(parse_text(TEXT), {}), "POST", target, media) == wanted


HELD = """
name: a-set
kind: http
summary: For a test
risk: low
commands:
  - {request: POST /f, upload: {max: 2MB, types: [application/pdf]}, hold: true, effect: change}
  - {request: POST /f, upload: {max: 1MB, types: [application/pdf]}, stream: true, effect: change}
"""


@pytest.mark.parametrize("stream", [False, True])
def test_an_upload_that_a_held_rule_covers_is_held_however_its_answer_is_asked_for(stream):
    compiled = compile_set(parse_text(HELD), {})
    planned = plan(compiled, "POST", "/f", "application/pdf", stream=stream)
    assert planned == Plan("upload", 2_000_000, whole=True)
    upload = Upload("application/pdf", 9, "a" * 64)
    found = decide_request(compiled, "POST", "/f", upload, headers={}, stream=stream)
    assert isinstance(found, Allowed)
    assert found.hold


@pytest.mark.parametrize("stream", [False, True])
def test_a_held_rule_without_the_digest_leaves_no_upload_to_a_looser_rule(stream):
    compiled = compile_set(parse_text(HELD), {})
    found = decide_request(compiled, "POST", "/f", Upload("application/pdf", 9), headers={}, stream=stream)
    assert isinstance(found, Refused)
    assert "sha256" in found.reason


def test_a_body_is_not_read_if_no_rule_allows_how_its_answer_is_asked_for():
    compiled = compile_set(parse_text(HELD.partition("  - {request: POST /f, upload: {max: 1MB")[0]), {})
    assert plan(compiled, "POST", "/f", "application/pdf", stream=True) == Plan("none")


DOCUMENT = {
    "price": 7,
    "account": {"name": "Ada", "iban": "DE1", "tags": ["a"]},
    "items": [{"id": 1, "cost": 2, "by": {"name": "x", "key": "y"}}, 3, {"id": 4}],
    "grid": [[{"a": 1, "b": 2}], 5],
}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (["price"], {"price": 7}),
        (["account.name"], {"account": {"name": "Ada"}}),
        (["account"], {"account": DOCUMENT["account"]}),
        (["items[].id"], {"items": [{"id": 1}, {"id": 4}]}),
        (["items[].id", "items[].by.name"], {"items": [{"id": 1, "by": {"name": "x"}}, {"id": 4}]}),
        (["items[]"], {"items": DOCUMENT["items"]}),
        (["grid[][].a"], {"grid": [[{"a": 1}]]}),
        # Of another form than the field says.
        (["price.cents"], {}),
        (["price[]"], {}),
        (["account[].name"], {}),
        (["items.id"], {}),
        (["nothing"], {}),
        (["[].price"], None),
    ],
)
def test_only_the_listed_fields_of_an_answer_pass(fields, wanted):
    assert project(tuple(fields), DOCUMENT) == wanted


def test_a_list_is_projected_item_by_item():
    assert project(("[].id",), [{"id": 1, "key": "k"}, "x", [{"id": 2}]]) == [{"id": 1}]
    assert project(("id",), [{"id": 1}]) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "[]"]), inner)
    ),
)


@given(JSON)
def test_what_is_not_listed_never_passes_wherever_it_is(value):
    """Replace every listed field by nothing: what remains must have no scalar outside of them."""
    kept = project(("a.b", "c[].a"), {"a": value, "c": value, "b": value, "[]": value})
    assert set(kept) <= {"a", "c"}
    assert set(kept.get("a", {})) <= {"b"}
    assert all(set(item) <= {"a"} for item in kept.get("c", []))


def test_an_answer_keeps_its_numbers_and_its_text():
    answer = b'{"id": 90071992547409931234567890, "at": 0.1, "name": "\\ud83d\\ude00", "key": 1}'
    found = projected(("id", "at", "name"), answer)
    assert json.loads(found) == {"id": 90071992547409931234567890, "at": 0.1, "name": "😀"}


@pytest.mark.parametrize("answer", [b"", b"<html>", b"NaN", b"\xff", b'{"a":1} x', b"[" * 100_000])
def test_an_answer_that_is_not_json_does_not_pass(answer):
    with pytest.raises(BodyRefused, match="not JSON"):
        projected(("a",), answer)


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        (None, None, True),
        (["a"], None, True),
        (None, ["a"], False),
        (["a.b"], ["a"], True),
        (["a"], ["a.b"], False),
        (["a[].b", "c"], ["a", "c"], True),
        (["a", "d"], ["a", "c"], False),
        (["ab"], ["a"], False),
    ],
)
def test_fields_are_within_others_if_each_is_a_part_of_one(inner, outer, within):
    assert fields_within(inner, outer) is within


def test_an_answer_without_a_limit_is_within_none():
    limit = ResponseLimit.model_validate({"max": "5MB", "time": "30s"})
    assert response_within(limit, None)
    assert not response_within(None, limit)
    assert response_within(ResponseLimit.model_validate({"max": "4MB", "time": "30s"}), limit)
    assert not response_within(ResponseLimit.model_validate({"max": "4MB"}), limit)
    assert not response_within(ResponseLimit.model_validate({"max": "6MB", "time": "30s"}), limit)
