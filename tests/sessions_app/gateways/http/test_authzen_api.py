"""What AuthZEN's Authorization API 1.0 requires of a decision point: calls, lists, errors and metadata."""

import json
from copy import deepcopy

import pytest

from tests.support.world.api_site import PROXY_KEY, evaluation

ONE, MANY, METADATA = "/access/v1/evaluation", "/access/v1/evaluations", "/.well-known/authzen-configuration"
MISSING = object()


def changed(said, path, value):
    """Return a document with another value at a path such as ``subject.id``; MISSING removes it."""
    said = deepcopy(said)
    *outer, last = path.split(".")
    inner = said
    for name in outer:
        inner = inner.setdefault(name, {})
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return said


UNCHANGED = [
    ("unknown", 1),
    ("context", {}),
    ("context", {"time": "2026-11-24T22:00:00Z", "unknown": [1]}),
    ("options", {"unknown": True}),
    ("subject.unknown", {"a": 1}),
    ("subject.properties", {"department": "Sales", "roles": ["a"]}),
    ("action.unknown", None),
    ("action.properties", {}),
    ("resource.unknown", "x"),
    ("resource.properties.unknown", {"deep": [{}]}),
]


@pytest.mark.parametrize(("path", "value"), UNCHANGED)
@pytest.mark.parametrize("url", [ONE, MANY])
def test_members_that_are_not_known_change_no_decision(endpoint, token, url, path, value):
    answer = endpoint.authzen(changed(evaluation(token), path, value), path=url)
    assert (answer.status, answer.json["decision"]) == (200, True)


OTHERS = [
    ("subject.type", "user"),
    ("subject.id", "alice@example.com"),
    ("action.name", "can_read"),
    ("resource.type", "database"),
    ("resource.id", "payments-prod"),
    ("resource.properties", MISSING),
    ("resource.properties", {}),
    ("resource.properties.target", 5),
    ("resource.properties.target", "elsewhere"),
]


@pytest.mark.parametrize(("path", "value"), OTHERS)
def test_a_valid_evaluation_of_something_else_is_denied_and_no_error(endpoint, token, path, value):
    answer = endpoint.authzen(changed(evaluation(token), path, value))
    assert (answer.status, answer.json["decision"]) == (200, False)
    assert answer.json["context"]["message"]


MALFORMED = [
    *((name, odd) for name in ("subject", "action", "resource") for odd in (MISSING, None, 1, "x", [], {})),
    *(
        (path, odd)
        for path in ("subject.type", "subject.id", "action.name", "resource.type", "resource.id")
        for odd in (MISSING, None, 1, "", ["x"], {})
    ),
    *((f"{name}.properties", odd) for name in ("subject", "action", "resource") for odd in (1, "x", [])),
    *(("context", odd) for odd in (1, "x", [])),
]


@pytest.mark.parametrize(("path", "value"), MALFORMED)
def test_a_member_that_is_missing_or_of_another_type_is_an_error(endpoint, token, path, value):
    answer = endpoint.authzen(changed(evaluation(token), path, value))
    assert answer.status == 400
    assert answer.json["error"]


NO_JSON = [
    *(b"", b"x", b"[]", b"null", b'"x"', b"\xff", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}'),
    *(b"[" * 100, b"x" * 300_000),
]


@pytest.mark.parametrize("raw", NO_JSON, ids=range(len(NO_JSON)))
@pytest.mark.parametrize("url", [ONE, MANY])
def test_what_is_no_json_object_is_an_error(endpoint, url, raw):
    answer = endpoint.authzen(None, raw=raw, path=url, HTTP_X_REQUEST_ID="r-1")
    assert (answer.status, answer.headers["x-request-id"]) == (400, "r-1")
    assert answer.json["error"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_the_content_type_is_json(endpoint, token, kind):
    answer = endpoint.authzen(evaluation(token), CONTENT_TYPE=kind)
    assert (answer.json["decision"], answer.headers["content-type"]) == (True, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    for other in ("", "text/plain", "application/x-www-form-urlencoded"):
        assert endpoint.authzen(evaluation(token), CONTENT_TYPE=other).status == 400


@pytest.mark.parametrize("said", ["", "Bearer short", "Basic abc", PROXY_KEY, f"Bearer {PROXY_KEY} x"])
@pytest.mark.parametrize("url", [ONE, MANY])
def test_who_does_not_authenticate_gets_a_challenge(endpoint, token, url, said):
    answer = endpoint.authzen(evaluation(token), path=url, HTTP_AUTHORIZATION=said, HTTP_X_REQUEST_ID="r-1")
    assert (answer.status, answer.headers["x-request-id"]) == (401, "r-1")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_another_key_is_denied(endpoint, token):
    answer = endpoint.authzen(evaluation(token), HTTP_AUTHORIZATION="Bearer " + "x" * 40)
    assert (answer.status, answer.json["decision"]) == (200, False)


@pytest.mark.parametrize(
    ("url", "method"), [(ONE, "GET"), (ONE, "PUT"), (MANY, "GET"), (MANY, "DELETE"), (METADATA, "POST")]
)
def test_another_method_is_an_error(endpoint, url, method):
    assert endpoint.authzen({}, path=url, method=method).status == 405


@pytest.mark.parametrize("request_id", ["bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "x", "a/b=c"])
@pytest.mark.parametrize("url", [ONE, MANY])
def test_the_id_of_a_request_comes_back(endpoint, token, url, request_id):
    answer = endpoint.authzen(evaluation(token), path=url, HTTP_X_REQUEST_ID=request_id)
    assert answer.headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", ["", "a b", "x\r\nset-cookie: a=b", "é", "x" * 201])
def test_an_id_that_is_no_header_value_does_not_come_back(endpoint, token, request_id):
    answer = endpoint.authzen(evaluation(token), HTTP_X_REQUEST_ID=request_id)
    assert "x-request-id" not in answer.headers


# Requests, as T for one that is allowed and F for one that is not, and the decisions that come back.
SEMANTICS = [
    (None, "TFT", "TFT"),
    ("execute_all", "TFT", "TFT"),
    ("execute_all", "FFF", "FFF"),
    ("deny_on_first_deny", "TFT", "TF"),
    ("deny_on_first_deny", "TTT", "TTT"),
    ("deny_on_first_deny", "FTT", "F"),
    ("permit_on_first_permit", "FTF", "FT"),
    ("permit_on_first_permit", "TFF", "T"),
    ("permit_on_first_permit", "FFF", "FFF"),
]


@pytest.mark.parametrize(("semantic", "asked", "decided"), SEMANTICS)
def test_a_list_is_decided_in_its_order_until_its_semantic_is_met(endpoint, token, semantic, asked, decided):
    base = evaluation(token)
    uris = {"T": "/tickets/T-42", "F": "/tickets/T-43"}
    items = [{"resource": {**base["resource"], "id": uris[one]}} for one in asked]
    options = {} if semantic is None else {"options": {"evaluations_semantic": semantic, "unknown": 1}}
    answer = endpoint.authzen({**base, "evaluations": items, **options}, path=MANY)
    assert answer.status == 200
    assert "".join("FT"[one["decision"]] for one in answer.json["evaluations"]) == decided


@pytest.mark.parametrize("member", ["subject", "action", "resource"])
def test_an_item_replaces_a_default_as_a_whole(endpoint, token, member):
    base = evaluation(token)
    rest = {name: one for name, one in base.items() if name != member}
    other = {"type": "user", "id": "alice", "name": "DELETE"}
    items = [{member: base[member]}, {member: other}, {}]
    answer = endpoint.authzen({**base, "evaluations": items}, path=MANY)
    assert [one["decision"] for one in answer.json["evaluations"]] == [True, False, True]
    without = endpoint.authzen({**rest, "evaluations": items}, path=MANY)
    assert [one["decision"] for one in without.json["evaluations"]] == [True, False, False]


def test_items_need_no_defaults(endpoint, token):
    answer = endpoint.authzen({"evaluations": [evaluation(token)] * 2}, path=MANY)
    assert [one["decision"] for one in answer.json["evaluations"]] == [True, True]


@pytest.mark.parametrize("items", [{}, {"evaluations": []}, {"evaluations": None}])
def test_without_items_it_is_one_evaluation(endpoint, token, items):
    answer = endpoint.authzen({**evaluation(token), **items}, path=MANY)
    assert (answer.status, answer.json["decision"]) == (200, True)
    assert "evaluations" not in answer.json


@pytest.mark.parametrize("bad", [{}, 1, None, {"resource": {"type": "http_request"}}, {"resource": "x"}])
def test_an_invalid_item_is_denied_and_the_others_are_decided(endpoint, token, bad):
    good = evaluation(token)
    rest = {name: good[name] for name in ("subject", "action")}
    said = {**rest, "evaluations": [bad, {"resource": good["resource"]}]}
    answer = endpoint.authzen(said, path=MANY)
    assert answer.status == 200
    assert [one["decision"] for one in answer.json["evaluations"]] == [False, True]
    assert answer.json["evaluations"][0]["context"]["error"]["status"] == 400


@pytest.mark.parametrize(
    "more",
    [
        *({"evaluations": odd} for odd in (1, "x", {}, [{}] * 101)),
        *({"evaluations": [{}], "options": odd} for odd in (1, [], {"evaluations_semantic": "x"})),
        {"evaluations": [{}], "options": {"evaluations_semantic": 1}},
        {"evaluations": [{}], "options": {"evaluations_semantic": ["execute_all"]}},
    ],
    ids=lambda more: json.dumps(more)[:60],
)
def test_a_list_or_option_of_another_form_is_an_error(endpoint, token, more):
    assert endpoint.authzen({**evaluation(token), **more}, path=MANY).status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_metadata_names_what_is_offered_and_nothing_else(endpoint, settings, method):
    settings.PUBLIC_URL = "https://stint.example.com"
    answer = endpoint.call(METADATA, method=method, HTTP_X_REQUEST_ID="r-1")
    assert (answer.status, answer.headers["x-request-id"]) == (200, "r-1")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "policy_decision_point": "https://stint.example.com",
        "access_evaluation_endpoint": f"https://stint.example.com{ONE}",
        "access_evaluations_endpoint": f"https://stint.example.com{MANY}",
    }


@pytest.mark.parametrize("kind", ["subject", "resource", "action"])
def test_searches_are_not_offered(endpoint, kind):
    endpoint.authzen({}, path=f"/access/v1/search/{kind}")
    assert endpoint.passed_on == [f"/access/v1/search/{kind}"]
