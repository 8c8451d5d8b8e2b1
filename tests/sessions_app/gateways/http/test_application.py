"""Responses to proxies, and their entries in the record."""

import json

import pytest
from django.db import DatabaseError

from broker.audit.models import AuditEntry
from sessions_app.models import CommandRun, EndReason, Grant, GrantCredential, Lease, RequestCount, Session
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.check_request import NewRequest
from sessions_app.operations.requests.request_access import request_access
from sessions_app.policy.commands.http.headers import OVERRIDES
from sessions_app.queries.grants.comparisons import comparison
from tests.support.world.acts import last
from tests.support.world.api_site import PROXY_KEY, add_second_target, grant_on_site, token_of


def data_of(event):
    return last(event).data


def test_an_allowed_request_passes_with_its_holder_and_grant(endpoint, token, grant):
    answer = endpoint.nginx(token)
    assert answer.status == 200
    assert (answer.headers["stint-holder"], answer.headers["stint-grant"]) == ("alice", grant.ref)
    assert answer.body == b""


def test_everything_else_goes_to_django(endpoint):
    assert endpoint.call("/").status == 404
    assert endpoint.call("/authz").status == 404
    assert endpoint.call("/authz/nginx/").status == 404
    assert endpoint.call("/authz/envoy").status == 404
    assert endpoint.passed_on == ["/", "/authz", "/authz/nginx/", "/authz/envoy"]


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "Bearer",
        "Bearer x",
        "Basic YTpi",
        "sgt_" + "a" * 43,
        "Bearer sgt_" + "a" * 42,
        "Bearer  sgt_" + "a" * 43,
        "Bearer sgt_" + "a" * 43 + ",Bearer sgt_" + "b" * 43,
        "Bearer stint_" + "a" * 43,
    ],
)
def test_without_one_well_formed_token_a_token_is_asked_for(endpoint, said):
    answer = endpoint.nginx("", HTTP_AUTHORIZATION=said)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="stint"')


def test_a_token_that_never_was_and_one_that_is_over_are_answered_alike(endpoint, token, grant, site):
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=site.now)
    over, never = endpoint.nginx(token), endpoint.nginx("sgt_" + "a" * 43)
    assert (over.status, over.headers, over.body) == (never.status, never.headers, never.body)
    assert over.status == 401


def test_who_comes_with_a_token_that_is_over_is_written_down_at_once(endpoint, token, grant, site):
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=site.now)
    endpoint.nginx(token, "GET /tickets/T-42")
    found = data_of("command.refused")
    assert last("command.refused").object_ref == grant.ref
    assert (found["line"], found["code"]) == ("GET /tickets/T-42", "over")


def test_a_proxy_that_can_not_prove_itself_gets_nothing(endpoint, token):
    for key in (None, "", "wrong", "é" * 40):
        assert endpoint.nginx(token, HTTP_STINTPROXY=key).status == 401


def test_a_proxy_that_does_not_say_what_it_holds_gets_nothing(endpoint, token):
    for missing in ("HTTP_STINTMETHOD", "HTTP_STINTURI"):
        for value in (None, ""):
            assert endpoint.nginx(token, **{missing: value}).status == 403


def test_the_first_request_is_registered_with_what_is_to_be_asked_at_the_end(endpoint, token, grant):
    endpoint.nginx(token)
    endpoint.nginx(token)
    session = Session.objects.get(grant=grant)
    assert session.closed_at == session.opened_at
    assert session.client_address == "10.0.0.1"
    assert Lease.objects.get(grant=grant).target.name == "tickets-api"
    assert data_of("session.opened")["session"] == session.pk
    assert token not in last("session.opened").body


def test_a_request_that_reads_is_written_down_before_it_is_answered_and_what_repeats_it_is_counted(
    endpoint, token, grant
):
    endpoint.nginx(token)
    assert CommandRun.objects.get(grant=grant).count.times == 1
    for _ in range(4):
        endpoint.nginx(token)
    endpoint.nginx(token, "GET /tickets/T-42/comments?page=2")
    assert CommandRun.objects.filter(grant=grant).count() == 2
    endpoint.flush()
    endpoint.flush()
    runs = list(CommandRun.objects.filter(grant=grant).order_by("pk"))
    ticket, comments = "GET /tickets/T-42", "GET /tickets/T-42/comments?page=2"
    assert [(run.line, run.state, run.effect, run.command_index) for run in runs] == [
        (ticket, "done", "read", 0),
        (comments, "done", "read", 1),
        (ticket, "done", "read", 0),
    ]
    assert [count.times for count in RequestCount.objects.order_by("run")] == [1, 1, 4]
    entries = AuditEntry.objects.filter(event="command.allowed", object_ref=grant.ref)
    assert entries.count() == 3
    assert data_of("command.allowed")["argv"] == ["GET", "/tickets/T-42"]
    assert {(entry.actor, entry.actor_id) for entry in entries} == {("alice", grant.holder_id)}


def test_a_read_at_another_target_is_written_down_there_at_once_and_never_counted_with_the_first(
    endpoint, site
):
    add_second_target(site)
    grant = grant_on_site(site)
    token = token_of(grant, site)
    for target in ("tickets-api", "tickets-eu"):
        assert endpoint.nginx(token, HTTP_STINTTARGET=target).status == 200
    assert endpoint.nginx(token, "POST /tickets/T-42/reopen", HTTP_STINTTARGET="tickets-eu").status == 200
    runs = CommandRun.objects.filter(grant=grant).order_by("pk")
    assert [(run.target.name, run.session.target.name, run.line) for run in runs] == [
        ("tickets-api", "tickets-api", "GET /tickets/T-42"),
        ("tickets-eu", "tickets-eu", "GET /tickets/T-42"),
        ("tickets-eu", "tickets-eu", "POST /tickets/T-42/reopen"),
    ]
    targets = [found["target"] for found in comparison(grant, site.now)["targets"] if found["times"]]
    assert targets == ["tickets-api", "tickets-eu"]


def test_a_request_that_changes_something_is_written_down_before_it_is_answered(endpoint, token, grant):
    assert endpoint.nginx(token, "POST /tickets/T-42/reopen").status == 200
    run = CommandRun.objects.get(grant=grant)
    assert (run.line, run.effect, run.count.times) == ("POST /tickets/T-42/reopen", "change", 1)
    assert data_of("command.allowed")["run"] == run.pk


def test_a_refused_request_is_written_down_before_it_is_answered_each_time(endpoint, token, grant):
    for _ in range(3):
        endpoint.nginx(token, "GET /tickets/T-43")
    runs = CommandRun.objects.filter(grant=grant, state="refused")
    assert [run.line for run in runs] == ["GET /tickets/T-43"] * 3
    assert AuditEntry.objects.filter(event="command.refused", object_ref=grant.ref).count() == 3


def test_what_can_not_be_written_down_does_not_pass(endpoint, token):
    for _ in range(2):
        endpoint.nginx(token)
    write = endpoint.tally._write
    endpoint.tally._write = refuses
    assert endpoint.nginx(token, "GET /tickets/T-42/comments?page=2").status == 503
    with pytest.raises(DatabaseError):
        endpoint.flush()
    assert endpoint.nginx(token).status == 503
    endpoint.tally._write = write
    endpoint.flush()
    assert endpoint.nginx(token).status == 200
    endpoint.flush()
    assert sum(count.times for count in RequestCount.objects.all()) == 3


def refuses(requests, answered, now):
    raise DatabaseError("the record is full")


@pytest.mark.parametrize("header", OVERRIDES)
def test_headers_that_would_change_the_request_are_refused_and_recorded(endpoint, token, grant, header):
    answer = endpoint.nginx(token, **{f"HTTP_{header.upper().replace('-', '_')}": "DELETE"})
    assert answer.status == 403
    assert f"{header} would change the request" in answer.json["detail"]
    assert CommandRun.objects.get(grant=grant).state == "refused"


def test_a_refusal_says_what_to_ask_for(endpoint, token, site):
    answer = endpoint.nginx(token, "GET /tickets/T-43")
    context = answer.json["context"]
    offer = context["access_request"]
    assert context["reason"] == "approval_required"
    assert context["evaluation_id"]
    assert offer["expires_at"]
    assert offer["endpoint"].endswith("/api/v1/requests")
    assert offer["request"]["parameters"] == {"ticket": "T-43"}
    assert offer["missing"] == []
    assert json.loads(answer.headers["stintdenial"]) == answer.json
    ask = NewRequest(**{**offer["request"], "targets": tuple(offer["request"]["targets"])})
    assert request_access(requester=site.alice, ask=ask, now=site.now).state == "pending"


def test_what_nobody_may_ask_for_is_offered_to_nobody(endpoint, token):
    for request in ("DELETE /tickets/T-43", "GET /tickets/../T-43", "GET /elsewhere"):
        context = endpoint.nginx(token, request).json["context"]
        assert "access_request" not in context
        assert context["next_action"] == "none"


def test_the_other_proxies_dialects_lead_to_the_same_decision(endpoint, token):
    proof = {
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_STINTPROXY": "",
        "HTTP_STINTTARGET": "tickets-api",
    }
    proof["HTTP_STINTPROXY"] = PROXY_KEY
    forward = {"HTTP_X_FORWARDED_METHOD": "GET", "HTTP_X_FORWARDED_URI": "/tickets/T-42"}
    assert endpoint.call("/authz/forward", **proof, **forward).status == 200
    assert (
        endpoint.call("/authz/forward", **proof, **{**forward, "HTTP_X_FORWARDED_METHOD": "DELETE"}).status
        == 403
    )
    envoy = "/authz/envoy/tickets/T-42"
    assert endpoint.call(envoy, **proof, HTTP_STINTURI="/tickets/T-42").status == 200
    assert endpoint.call(envoy, method="DELETE", **proof, HTTP_STINTURI="/tickets/T-42").status == 403
    assert endpoint.call(envoy, **proof).status == 403
    assert endpoint.call("/authz/envoy/other", **proof, HTTP_STINTURI="/tickets/T-42").status == 403
    assert endpoint.call(envoy, query="a=1", **proof, HTTP_STINTURI="/tickets/T-42").status == 403


def test_names_that_no_header_holds_are_escaped(endpoint, grant, site):
    type(site.alice).objects.filter(pk=site.alice.pk).update(username="alïce")
    token = token_of(grant, site)
    assert endpoint.nginx(token).headers["stint-holder"] == "al%C3%AFce"


def test_under_a_grant_that_is_held_it_is_said_what_has_to_happen(endpoint, token, grant, site):
    Grant.objects.filter(pk=grant.pk).update(held_at=site.now)
    answer = endpoint.nginx(token)
    assert answer.status == 403
    assert f"{grant.ref} is suspended" in answer.json["detail"]
    assert (answer.json["context"]["reason"], answer.json["context"]["next_action"]) == (
        "grant_held",
        "retry",
    )
    entry = last("command.refused", grant.ref).data
    assert (entry["code"], entry["why"]) == ("held", "the grant is suspended after too many refused commands")
    assert endpoint.nginx(token, HTTP_STINTTARGET="elsewhere").status == 401
    GrantCredential.objects.update(revoked_at=site.now)
    assert endpoint.nginx(token).status == 401
