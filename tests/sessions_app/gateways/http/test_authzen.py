"""AuthZEN: the same decision, including the body."""

from broker.audit.models import AuditEntry
from sessions_app.models import CommandRun
from tests.support.world.api_site import evaluation


def test_a_request_is_decided_as_at_a_proxy(endpoint, token, grant):
    answer = endpoint.authzen(evaluation(token))
    assert answer.status == 200
    assert answer.json == {"decision": True, "context": {"grant": grant.ref, "holder": "alice"}}
    assert endpoint.authzen(evaluation(token, "GET /tickets/../T-42")).json["decision"] is False


def test_the_address_of_an_enforcement_point_is_not_recorded_as_its_clients(endpoint, token, grant):
    assert endpoint.authzen(evaluation(token)).json["decision"] is True
    assert set(grant.runs.values_list("client_address", "session__client_address")) == {("", "")}


def test_a_body_is_seen_and_held_against_its_limits(endpoint, token, grant):
    close = "POST /tickets/T-42/close"
    assert endpoint.authzen(evaluation(token, close, body={"note": "done"})).json["decision"] is True
    for body in ({"note": 5}, {"note": "x", "more": 1}, {}, [], None, "x"):
        assert endpoint.authzen(evaluation(token, close, body=body)).json["decision"] is False
    assert endpoint.authzen(evaluation(token, close)).json["decision"] is False
    assert CommandRun.objects.get(grant=grant, state="done").argv[2] == '{"note":"done"}'


def test_a_token_that_opens_nothing_is_a_denial_and_no_error(endpoint):
    answer = endpoint.authzen(evaluation("sgt_" + "a" * 43))
    assert answer.status == 200
    assert answer.json["decision"] is False
    assert answer.json["context"]["next_action"] == "none"


def test_a_marker_of_a_private_key_hides_no_request(endpoint, token, grant):
    body = {"note": "-----BEGIN PRIVATE KEY-----"}
    for _ in range(5):
        assert (
            endpoint.authzen(evaluation(token, "POST /tickets/T-43/wipe", body=body)).json["decision"]
            is False
        )
    endpoint.nginx(token, "DELETE /tickets/-----BEGIN PRIVATE KEY-----")
    runs = CommandRun.objects.filter(grant=grant, state="refused")
    assert runs.count() == 6
    entries = AuditEntry.objects.filter(object_ref=grant.ref, event="command.refused").order_by("seq")
    assert [entry.data["run"] for entry in entries] == list(runs.order_by("pk").values_list("pk", flat=True))
    assert not [run for run in runs if "-----BEGIN" in run.line + run.reason]
