"""AuthZEN: the same decision, including the body."""

import json

import pytest

from broker.audit.models import AuditEntry
from sessions_app.models import CommandRun
from tests.support.world.api_site import PROXY_KEY

BEARER = f"Bearer {PROXY_KEY}"


def call(token, request="GET /tickets/T-42", **properties):
    method, _, uri = request.partition(" ")
    action = {"name": method, "properties": properties} if properties else {"name": method}
    return {
        "subject": {"type": "grant_token", "id": token},
        "action": action,
        "resource": {"type": "http_request", "id": uri, "properties": {"target": "tickets-api"}},
    }


@pytest.fixture
def ask(endpoint):
    def ask(said, *, path="/access/v1/evaluation", raw=None, **headers):
        body = json.dumps(said).encode() if raw is None else raw
        sent = {"HTTP_AUTHORIZATION": BEARER, "CONTENT_TYPE": "application/json", **headers}
        return endpoint.call(path, method="POST", body=body, **sent)

    return ask


def test_a_request_is_decided_as_at_a_proxy(ask, token, grant):
    answer = ask(call(token), HTTP_X_REQUEST_ID="abc-1")
    assert answer.status == 200
    assert answer.json == {"decision": True, "context": {"grant": grant.ref, "holder": "alice"}}
    assert answer.headers["x-request-id"] == "abc-1"
    assert ask(call(token, "GET /tickets/../T-42")).json["decision"] is False


def test_the_address_of_an_enforcement_point_is_not_recorded_as_its_clients(ask, token, grant):
    assert ask(call(token)).json["decision"] is True
    assert set(grant.runs.values_list("client_address", "session__client_address")) == {("", "")}


def test_a_body_is_seen_and_held_against_its_limits(ask, token, grant):
    close = "POST /tickets/T-42/close"
    assert ask(call(token, close, body={"note": "done"})).json["decision"] is True
    for body in ({"note": 5}, {"note": "x", "more": 1}, {}, [], None, "x"):
        assert ask(call(token, close, body=body)).json["decision"] is False
    assert ask(call(token, close)).json["decision"] is False
    assert CommandRun.objects.get(grant=grant, state="done").argv[2] == '{"note":"done"}'


def test_a_token_that_opens_nothing_is_a_denial_and_no_error(ask):
    answer = ask(call("sgt_" + "a" * 43))
    assert answer.status == 200
    assert answer.json["decision"] is False
    assert answer.json["context"]["next_action"] == "none"


def test_who_asks_must_prove_to_be_the_proxy(ask, token):
    for said in ("", "Bearer short", "Basic abc", f"Bearer {PROXY_KEY} x"):
        answer = ask(call(token), HTTP_AUTHORIZATION=said)
        assert answer.status == 401
        assert answer.headers["www-authenticate"]
    assert ask(call(token), HTTP_AUTHORIZATION="Bearer " + "x" * 40).json["decision"] is False


BAD = [
    b"",
    b"x",
    b"[]",
    b"null",
    b"\xff",
    b'{"subject": 1}',
    b'{"a": 1, "a": 2}',
    b'{"a": NaN}',
    b"[" * 100,
    b"{}",
    (
        b'{"subject": {"type": "user", "id": "alice"}, "action": {"name": "GET"}, "resource": {"type":'
        b' "http_request", "id": "/"}}'
    ),
    b"x" * 300_000,
]


@pytest.mark.parametrize("raw", BAD, ids=range(len(BAD)))
def test_what_is_no_call_is_an_error_of_the_call(ask, raw):
    answer = ask(None, raw=raw)
    assert answer.status == 400
    assert answer.json["error"]


def test_missing_and_odd_members_are_errors_of_the_call(ask, token):
    for name in ("subject", "action", "resource"):
        for odd in (None, 1, "x", [], {}):
            said = call(token)
            said[name] = odd
            assert ask(said).status == 400
    odd = call(token)
    odd["resource"]["properties"] = {"target": 5}
    assert ask(odd).status == 400
    assert ask(call(token), CONTENT_TYPE="text/plain").status == 400
    assert ask({**call(token), "unknown": 1}).json["decision"] is True


def test_several_are_decided_with_defaults(ask, token):
    base = call(token)
    others = [
        {"resource": {**base["resource"], "id": uri}}
        for uri in ("/tickets/T-42", "/tickets/T-43", "/tickets/T-42")
    ]
    said = {**base, "evaluations": others}
    path = "/access/v1/evaluations"
    assert [one["decision"] for one in ask(said, path=path).json["evaluations"]] == [True, False, True]
    first_deny = {**said, "options": {"evaluations_semantic": "deny_on_first_deny"}}
    assert [one["decision"] for one in ask(first_deny, path=path).json["evaluations"]] == [True, False]
    first_permit = {**said, "options": {"evaluations_semantic": "permit_on_first_permit"}}
    assert [one["decision"] for one in ask(first_permit, path=path).json["evaluations"]] == [True]
    assert ask(base, path=path).json["decision"] is True
    for odd in (1, {}, [base] * 101):
        assert ask({**base, "evaluations": odd}, path=path).status == 400
    assert ask({**said, "options": {"evaluations_semantic": "x"}}, path=path).status == 400
    assert ask({**said, "options": []}, path=path).status == 400


def test_an_empty_list_is_one_evaluation(ask, token):
    answer = ask({**call(token), "evaluations": []}, path="/access/v1/evaluations")
    assert (answer.status, answer.json["decision"]) == (200, True)


@pytest.mark.parametrize("bad", [{}, 1, {"resource": {"type": "http_request"}}, {"resource": "x"}])
def test_an_invalid_item_is_denied_and_the_others_are_decided(ask, token, bad):
    good = call(token)
    rest = {name: good[name] for name in ("subject", "action")}
    said = {**rest, "evaluations": [bad, {"resource": good["resource"]}]}
    answer = ask(said, path="/access/v1/evaluations")
    assert answer.status == 200
    assert [one["decision"] for one in answer.json["evaluations"]] == [False, True]
    assert answer.json["evaluations"][0]["context"]["error"]["status"] == 400


def test_metadata_says_where_everything_is(endpoint):
    answer = endpoint.call("/.well-known/authzen-configuration")
    assert answer.status == 200
    assert answer.json["access_evaluation_endpoint"].endswith("/access/v1/evaluation")
    assert answer.json["policy_decision_point"].startswith("http")
    assert endpoint.call("/.well-known/authzen-configuration", method="POST").status == 405
    assert endpoint.call("/access/v1/evaluation").status == 405


def test_a_marker_of_a_private_key_hides_no_request(ask, endpoint, token, grant):
    body = {"note": "-----BEGIN PRIVATE KEY-----"}
    for _ in range(5):
        assert ask(call(token, "POST /tickets/T-43/wipe", body=body)).json["decision"] is False
    endpoint.nginx(token, "DELETE /tickets/-----BEGIN PRIVATE KEY-----")
    runs = CommandRun.objects.filter(grant=grant, state="refused")
    assert runs.count() == 6
    entries = AuditEntry.objects.filter(object_ref=grant.ref, event="command.refused").order_by("seq")
    assert [entry.data["run"] for entry in entries] == list(runs.order_by("pk").values_list("pk", flat=True))
    assert not [run for run in runs if "-----BEGIN" in run.line + run.reason]
