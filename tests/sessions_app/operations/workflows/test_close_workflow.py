"""Closing a piece of work, and what hangs on it."""

import pytest
from django.db import DatabaseError, transaction

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import Grant, RequestState, Workflow
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.extend_grant import MayNotExtend, extend_grant
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.operations.workflows.close_workflow import close_workflow
from tests.support.world.acts import at_once, enter, events, fresh, intact, last, policy, run

SAME = {"incident": {"on_call": ["on-call"], "max_duration": "2h", "approvals": "same"}}


def close(world, incident, who=None, *, now=None, note="Fixed by a restart."):
    return close_workflow(workflow_id=incident.pk, actor=who or world.bob, now=now or world.now, note=note)


def test_every_grant_of_the_incident_ends_with_it_and_no_other(world):
    incident, other = world.incident(), world.incident()
    bound, unbound = world.respond(incident), world.grant()
    theirs = world.respond(other)
    closed = close(world, incident)
    assert (closed.state, closed.closed_at, closed.closed_by) == ("closed", world.now, world.bob)
    assert closed.close_note == "Fixed by a restart."
    for grant, state in ((bound, "revoking"), (unbound, "active"), (theirs, "active")):
        assert fresh(grant).state == state
    assert bound.end_reason == "workflow_closed"
    assert bound.ended_by == world.bob
    assert last("workflow.closed", incident.ref).data == {
        "note": "Fixed by a restart.",
        "grants_ended": 1,
        "requests_lapsed": 0,
    }
    assert intact()


def test_running_commands_are_cut_and_nothing_runs_after(world):
    incident = world.incident()
    grant = world.respond(incident)
    used, opened = enter(grant, now=world.now)
    run(used, opened, "sleep 60 nightly", now=world.now)
    close(world, incident)
    assert fresh(grant).finish_until is None
    with pytest.raises(GrantIsOver):
        run(used, opened, now=world.now)


def test_requests_that_wait_lapse_and_no_approval_revives_them(world):
    world.apply(policy(world, **SAME))
    incident = world.incident()
    request = world.request(kind="incident", workflow=incident.ref)
    assert request.state == RequestState.PENDING
    close(world, incident)
    assert fresh(request).state == RequestState.LAPSED
    assert last("request.lapsed", request.ref).data == {"closed": incident.ref}
    with pytest.raises(Exception, match="already expired"):
        world.decide(request)
    assert not Grant.objects.exists()


def test_a_grant_that_the_closing_missed_does_not_start_either(world):
    incident = world.incident()
    grant = world.respond(incident, start=False)
    Workflow.objects.filter(pk=incident.pk).update(state="closed", closed_at=world.now)
    ended = provision_grant(grant_id=grant.pk, now=world.now)
    assert (ended.state, ended.end_reason) == ("ended", "workflow_closed")
    assert "not an open incident" in ended.end_note


def test_closed_stays_closed(world):
    incident = world.incident()
    close(world, incident)
    close(world, incident, world.dora, note="Again.")
    assert events(incident.ref) == ["workflow.opened", "workflow.closed"]
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        Workflow.objects.filter(pk=incident.pk).update(state="open", closed_at=None)
    with pytest.raises(RequestRefused, match="not an open incident"):
        world.respond(incident)


def test_no_time_is_added_to_what_ended_with_its_incident(world):
    incident = world.incident()
    grant = world.respond(incident)
    Workflow.objects.filter(pk=incident.pk).update(state="closed", closed_at=world.now)
    with pytest.raises(MayNotExtend, match="not an open incident"):
        extend_grant(grant_id=grant.pk, requester=world.alice, seconds=600, now=world.now)


def test_who_may_not_see_it_learns_nothing(world):
    incident = world.incident()
    for pk in (incident.pk, 10**6):
        with pytest.raises(NotFound, match="Workflow not found"):
            close_workflow(workflow_id=pk, actor=world.charlie, now=world.now)
    with pytest.raises(InvalidInput):
        close(world, incident, note="a\x00b")
    assert fresh(incident).state == "open"


def asked(world, incident):
    return lambda: world.respond(incident, start=False)


def decided(world, incident):
    request = world.request(kind="incident", workflow=incident.ref)
    return lambda: world.decide(request)


def extended(world, incident):
    grant = world.respond(incident)
    return lambda: extend_grant(grant_id=grant.pk, requester=world.alice, seconds=600, now=world.now)


@pytest.mark.parametrize("act", [asked, decided, extended])
def test_what_happens_while_it_is_closed_leaves_no_grant_behind(live_world, act):
    if act is decided:
        live_world.apply(policy(live_world, **SAME))
    for _ in range(5):
        incident = live_world.incident()
        _, closed = at_once(act(live_world, incident), lambda incident=incident: close(live_world, incident))
        assert isinstance(closed, Workflow), closed
        live = Grant.objects.filter(workflow=incident, state__in=["scheduled", "provisioning", "active"])
        assert not live.exists()


def test_what_a_source_closes_ends_together_with_an_entry_for_each(world):
    incident = world.incident()
    grants = [world.respond(incident) for _ in range(3)]
    scheduled = world.respond(incident, start=False)
    close_workflow(workflow_id=incident.pk, actor=None, now=world.now, note="Over there.")
    for grant in grants:
        before = grant.version
        assert (fresh(grant).state, grant.end_reason, grant.version) == (
            "revoking",
            "workflow_closed",
            before + 1,
        )
        assert last("grant.revoking", grant.ref).data == {
            "from": "active",
            "reason": "workflow_closed",
            "note": incident.ref,
            "cut": True,
        }
    assert fresh(scheduled).state == "ended"
    assert last("workflow.closed", incident.ref).data["grants_ended"] == 4
    assert intact()
