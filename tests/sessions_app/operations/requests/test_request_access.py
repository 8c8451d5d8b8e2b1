"""Asking for access."""

import datetime as dt

import pytest

from broker.audit.models import AuditEntry
from broker.kernel.errors import StintError
from sessions_app.models import AccessRequest, Grant, GrantState, Notice, RequestState
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.operations.workflows.close_workflow import close_workflow
from tests.support.world.acts import after, at_once, awake, change, events, last, policy


def told(event: str) -> set[str]:
    return set(Notice.objects.filter(event=event).values_list("identity__username", flat=True))


def test_a_request_that_needs_approval_waits_and_tells_the_approvers(world):
    request = world.request()
    assert request.state == RequestState.PENDING
    assert request.ref.startswith("REQ-")
    assert told("request.created") == {"bob", "dora"}
    assert AuditEntry.objects.filter(event="request.created", object_ref=request.ref).exists()


def test_the_record_has_the_exact_request_and_its_digest(world):
    request = world.request(reason="  Nightly restart ", targets=("web-2",))
    data = last("request.created", request.ref).data
    assert data["digest"] == request.digest
    assert data["targets"] == ["web-2"]
    assert data["parameters"] == ["unit=nginx"]
    assert data["command_set"] == "restart-web v1"
    assert data["reason"] == "Nightly restart"
    assert last("request.created", request.ref).actor == "alice"


def test_a_refused_request_leaves_nothing_behind(world):
    for changes in ({"reason": " "}, {"duration": 0}, {"targets": ()}):
        with pytest.raises(RequestRefused):
            world.request(**changes)
    assert not AccessRequest.objects.exists()
    assert not Notice.objects.exists()
    assert "request.created" not in events()


def test_without_approvals_the_grant_is_made_at_once_and_the_record_says_that_the_policy_decided(world):
    world.apply(policy(world, approvals="none"))
    request = world.request()
    assert request.state == RequestState.APPROVED
    grant = Grant.objects.get(request=request)
    assert (grant.state, grant.holder) == (GrantState.SCHEDULED, world.alice)
    assert events(request.ref) == ["request.created", "request.approved"]
    assert last("request.approved").data["by"] == "policy"


def test_broken_glass_starts_at_once_and_all_approvers_are_told(world):
    request = world.request(kind="break_glass")
    grant = Grant.objects.get(request=request)
    assert request.state == RequestState.APPROVED
    assert grant.break_glass
    assert grant.review_due_at == after(world, hours=24)
    assert told("breakglass.started") == {"bob", "dora"}
    assert last("breakglass.started", grant.ref).data == {"request": request.ref, "reason": "Nightly restart"}


def test_an_overdue_review_blocks_the_next_broken_glass(world):
    world.request(kind="break_glass")
    world.request(kind="break_glass")
    late = after(world, hours=24)
    from sessions_app.models import Sweeper

    Sweeper.objects.update(seen_at=late)
    with pytest.raises(RequestRefused, match="started without approval, is overdue"):
        world.request(kind="break_glass", now=late)
    # Nor by a machine that the same person owns.
    change(world, {"groups/on-call.yaml": "name: on-call\nmembers: [alice, robot]\n"})
    with pytest.raises(RequestRefused, match="started without approval, is overdue"):
        world.request(world.robot, kind="break_glass", now=late)


KINDS = ["", "root", "PLANNED", None, "break-glass"]


def test_an_unknown_kind_is_refused(world):
    for kind in KINDS:
        with pytest.raises(StintError):
            world.request(kind=kind)
        assert not AccessRequest.objects.exists()


WRONG = [
    {"reason": "x" * 4001},
    {"ticket": "x" * 201},
    {"reason": "a\0b"},
    {"ticket": "a\0b"},
    {"reason": "a\ud800b"},
    {"duration": 10**15},
    {"duration": -(10**15)},
    {"duration": 3600.5},
    {"duration": True},
    {"starts_at": dt.datetime.max.replace(tzinfo=dt.UTC)},
    {"starts_at": dt.datetime.min.replace(tzinfo=dt.UTC)},
    {"starts_at": dt.datetime(2030, 1, 1)},  # noqa: DTZ001  # without a zone on purpose
    {"parameters": {"unit": "nginx", "more": "x"}},
    {"parameters": {}},
    {"parameters": {"unit": "sshd"}},
    {"parameters": {"unit": 5}},
    {"parameters": {"unit": ["nginx"]}},
    {"parameters": {"unit": "nginx\n"}},
    {"targets": ("web-9",)},
    {"targets": ("",)},
]


def test_input_of_the_wrong_form_is_refused_with_a_clear_error(world):
    for changes in WRONG:
        with pytest.raises(StintError) as refusal:
            world.request(**changes)
        assert refusal.value.message
        assert not AccessRequest.objects.exists()


def test_a_request_lapses_after_the_decision_time_or_with_the_time_it_asks_for(world):
    assert world.request().lapses_at == after(world, days=1)
    soon = world.request(starts_at=after(world, hours=2))
    assert soon.lapses_at == after(world, hours=3)


def test_nothing_new_starts_while_nothing_that_ends_access_runs(world):
    with pytest.raises(RequestRefused, match="30 seconds"):
        world.request(now=after(world, seconds=31))


# For an incident


def test_an_incident_starts_at_once_and_all_approvers_are_told(world):
    incident = world.incident()
    grant = world.respond(incident, reason="")
    assert (grant.state, grant.workflow, grant.request.workflow) == (GrantState.ACTIVE, incident, incident)
    assert not grant.break_glass
    assert told("grant.scheduled") == {"bob", "dora"}
    for event, ref in (("request.created", grant.request.ref), ("grant.scheduled", grant.ref)):
        assert last(event, ref).data["workflow"] == incident.ref


def test_the_digest_names_the_incident(world):
    one, other = world.incident(), world.incident()
    asked = [world.request(kind="incident", workflow=incident.ref) for incident in (one, other, one)]
    assert asked[0].digest == asked[2].digest != asked[1].digest


def test_only_for_an_open_incident_there_and_only_on_call_and_not_for_longer(world):
    incident = world.incident()
    with pytest.raises(RequestRefused, match="robot is not on call"):
        world.request(world.robot, kind="incident", workflow=incident.ref)
    with pytest.raises(RequestRefused, match="No incident is named"):
        world.request(kind="incident")
    with pytest.raises(RequestRefused, match="INC-9 is not an open incident"):
        world.request(kind="incident", workflow="INC-9")
    with pytest.raises(RequestRefused, match="exceeds the limit of 2 h"):
        world.request(kind="incident", workflow=incident.ref, duration=7201)
    with pytest.raises(RequestRefused, match="starts immediately"):
        world.request(kind="incident", workflow=incident.ref, starts_at=after(world, hours=1))
    with pytest.raises(RequestRefused, match="INC-9 is not open"):
        world.request(workflow="INC-9")
    assert not Grant.objects.exists()


def test_an_incident_elsewhere_opens_nothing_here(world):
    other = world.catalog["clusters/web.yaml"].replace("name: web\n", "name: db\n").replace("web-", "db-")
    world.apply({"clusters/db.yaml": other, **policy(world, clusters=["web", "db"])})
    incident = world.incident(clusters=["db"])
    with pytest.raises(RequestRefused, match="is not on web"):
        world.respond(incident)
    assert world.respond(incident, cluster="db").cluster.name == "db"


def test_where_the_policy_wants_it_an_incident_waits_for_approval_and_then_starts_at_once(world):
    world.apply(policy(world, incident={"on_call": ["on-call"], "approvals": "same"}))
    incident = world.incident()
    request = world.request(kind="incident", workflow=incident.ref)
    assert request.state == RequestState.PENDING
    world.decide(request)
    grant = Grant.objects.get(request=request)
    assert (grant.workflow, grant.starts_at) == (incident, world.now)
    assert told("grant.scheduled") == {"bob", "dora"}


def test_a_form_that_is_sent_twice_asks_once(world):
    first = world.request(once="this sending")
    assert world.request(once="this sending") == first
    assert world.request(once="another") != first
    assert world.request(world.robot, once="this sending") != first
    assert [world.request(), world.request()][0] != world.request()


def test_sent_twice_at_the_same_moment_it_asks_once_and_makes_one_grant(live_world):
    change(live_world, policy(live_world, approvals="none"))
    results = at_once(*[lambda: live_world.request(once="this sending")] * 4)
    assert len({request.pk for request in results}) == 1
    assert Grant.objects.count() == 1


def test_planned_access_may_name_work_and_ends_with_it(world):
    ticket = world.workflow("ticket")
    request = world.request(workflow=ticket.ref)
    assert (request.state, request.workflow) == ("pending", ticket)
    world.decide(request)
    grant = Grant.objects.get()
    provision_grant(grant_id=grant.pk, now=world.now)
    close_workflow(workflow_id=ticket.pk, actor=world.bob, now=world.now)
    grant.refresh_from_db()
    assert grant.end_reason == "workflow_closed"


def test_a_change_bounds_its_access_on_both_sides(world):
    planned = world.workflow("change", starts_at=after(world, hours=1), ends_at=after(world, hours=2))
    with pytest.raises(RequestRefused, match="begins"):
        world.request(workflow=planned.ref, starts_at=after(world, minutes=30), duration=600)
    with pytest.raises(RequestRefused, match="would end after"):
        world.request(workflow=planned.ref, duration=3601)
    with pytest.raises(RequestRefused, match="has passed"):
        world.request(workflow=planned.ref, starts_at=after(world, hours=2))
    world.decide(world.request(workflow=planned.ref, duration=3600))
    grant = Grant.objects.get()
    assert (grant.starts_at, grant.expires_at) == (planned.starts_at, planned.ends_at)


def test_waiting_for_a_verdict_does_not_carry_access_past_the_change(world):
    planned = world.workflow("change", ends_at=after(world, hours=1))
    request = world.request(workflow=planned.ref, duration=3600)
    world.decide(request, now=awake(after(world, minutes=20)))
    assert Grant.objects.get().expires_at == planned.ends_at


NEEDS = {"workflow": {"kinds": ["ticket"], "requester": "assignee", "approvals": "none"}}


def test_where_work_is_needed_nothing_else_will_do(world):
    world.apply(policy(world, **NEEDS))
    with pytest.raises(RequestRefused, match="none is named"):
        world.request()
    with pytest.raises(RequestRefused, match="of the kind incident"):
        world.request(workflow=world.incident().ref)
    with pytest.raises(RequestRefused, match="not assigned to"):
        world.request(workflow=world.workflow("ticket", assignee="dora").ref)


def test_the_facts_of_work_that_others_opened_stand_for_approvals(world):
    world.apply(policy(world, **NEEDS))
    request = world.request(workflow=world.workflow("ticket", assignee="alice").ref)
    assert (request.state, request.vouched) == ("approved", True)
    assert provision_grant(grant_id=request.grant.pk, now=world.now).state == "active"


def test_who_opened_the_work_has_approved_nothing_by_that(world):
    world.apply(policy(world, **NEEDS))
    for opener in (world.alice, world.robot, world.deployer):
        ticket = open_by(world, opener)
        request = world.request(workflow=ticket.ref)
        assert (request.state, request.vouched) == ("pending", False)


def open_by(world, opener):
    """A ticket that is Alice's, opened by her or by her machines."""
    return world.workflow("ticket", opener, assignee="alice")


def test_an_extension_is_not_asked_for_here(world):
    with pytest.raises(StintError, match="on the grant"):
        world.request(kind="extension")
