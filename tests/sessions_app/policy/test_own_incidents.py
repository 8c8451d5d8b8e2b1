"""Access by an incident that one opened oneself: as by breaking the glass, for people alone, or not
at all.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import APIToken, Identity
from accounts.operations.create_identity import create_identity
from broker.kernel.errors import StintError
from sessions_app.gateways.mcp.own_tools import TOOLS, use_tool
from sessions_app.models import AccessPolicy, AccessRequest, EndReason, Grant, Notice, Workflow
from sessions_app.operations.grants.delegate_grant import NotWithin, Part, delegate_grant, delegates_of
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.decide_request import MayNotDecide
from sessions_app.operations.requests.extend_grant import MayNotExtend, extend_grant
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.operations.requests.review_break_glass import review_break_glass
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.queries.requests import deciders
from tests.sessions_app.api.conftest import Caller, token_for
from tests.support.world.acts import after, awake, change, events, last, policy
from tests.support.world.world import SETUP

ON_CALL = "name: on-call\nmembers: [alice, robot, deployer]\n"
ASK = {
    "cluster": "web",
    "command_set": "restart-web",
    "duration": 3600,
    "parameters": {"unit": "nginx"},
    "kind": "incident",
}
FORM = {
    "kind": "incident",
    "cluster": "web",
    "command_set": "restart-web",
    "duration": "1h",
    "p.unit": "nginx",
    "send": "1",
}
INCIDENT = {"on_call": ["on-call"], "max_duration": "2h"}


@pytest.fixture
def duty(world):
    """Alice and her machines are on call."""
    change(world, {"groups/on-call.yaml": ON_CALL})
    return world


def by_page(world, who: Identity, incident: Workflow, reason: str) -> str:
    client = Client()
    client.force_login(who, backend="accounts.backends.PasswordBackend")
    answer = client.post("/requests/new/", {**FORM, "incident": incident.ref, "reason": reason})
    assert answer.status_code in (302, 422)
    return "" if answer.status_code == 302 else answer.content.decode()


def by_api(world, who: Identity, incident: Workflow, reason: str) -> str:
    caller = Caller(who, token_for(who, world.now))
    sent = {**ASK, "workflow": incident.ref, "reason": reason}
    preview = caller.post("/requests/preview", sent).body
    answer = caller.post("/requests", sent)
    assert (answer.status_code == 201) is (preview["outcome"] == "starts"), answer.body
    return "" if answer.status_code == 201 else json.dumps(answer.body)


def by_mcp(world, who: Identity, incident: Workflow, reason: str) -> str:
    """Its tool asks for planned work in the name of the incident, which people approve as ever."""
    token_for(who, timezone.now())
    token = APIToken.objects.select_related("identity__owner").filter(identity=who).latest("pk")
    asked = {name: value for name, value in ASK.items() if name != "kind"}
    try:
        use_tool(
            tool=TOOLS["request_access"],
            token=token,
            now=world.now,
            arguments={**asked, "workflow": incident.ref, "reason": reason},
        )
    except StintError as error:
        return str(error)
    return ""


def by_verb(world, who: Identity, incident: Workflow, reason: str) -> str:
    try:
        world.request(who, kind="incident", workflow=incident.ref, reason=reason)
    except RequestRefused as error:
        return str(error)
    return ""


ENTRY_POINTS = {"page": by_page, "api": by_api, "verb": by_verb}


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_access_by_an_own_incident_needs_a_reason_and_is_told_and_reviewed_by_any_entry_point(
    duty, entry_point
):
    incident = duty.incident(duty.alice)
    ask = ENTRY_POINTS[entry_point]
    assert "requires a reason" in ask(duty, duty.alice, incident, "")
    assert not Grant.objects.exists()
    assert ask(duty, duty.alice, incident, "Checkout is down") == ""
    grant = Grant.objects.get()
    assert (grant.break_glass, grant.is_own_incident, grant.workflow) == (False, True, incident)
    entry = last("breakglass.started", grant.ref)
    assert entry.data["reason"] == "Checkout is down"
    assert entry.data["incident"] == incident.ref
    told = Notice.objects.filter(event="breakglass.started")
    assert sorted(told.values_list("identity__username", flat=True)) == ["bob", "dora"]
    assert f"Alice opened {incident.ref} and started access without approval on web" in told[0].subject


def test_an_incident_that_somebody_else_opened_gives_access_as_before(duty):
    grant = duty.respond(duty.incident(), reason="")
    assert (grant.state, grant.review_due_at, grant.is_own_incident) == ("active", None, False)
    assert "breakglass.started" not in events()


@pytest.mark.parametrize("opener", ["alice2", "robot", "alice"])
def test_who_opened_it_is_told_by_the_person_and_not_by_the_account(duty, opener):
    duty.alice2 = create_identity(username="alice2", email="ALICE@example.com", actor=SETUP, now=duty.now)
    duty.alice2.groups.set(duty.alice.groups.all())
    incident = duty.incident(getattr(duty, opener))
    with pytest.raises(RequestRefused, match="requires a reason"):
        duty.respond(incident, reason="")
    assert duty.respond(incident).is_own_incident


def used(duty, **more) -> Grant:
    grant = duty.respond(duty.incident(duty.alice), **more)
    return end_grant(grant_id=grant.pk, actor=None, reason=EndReason.EXPIRED, now=more.get("now", duty.now))


def test_it_is_reviewed_by_somebody_else_and_never_by_who_opened_it(duty):
    change(duty, {"groups/approvers.yaml": "name: approvers\nmembers: [alice, bob, dora]\n"})
    grant = used(duty)
    assert list(deciders.reviews_for(duty.bob)) == [grant]
    assert not deciders.reviews_for(duty.alice).exists()
    with pytest.raises(MayNotDecide):
        review_break_glass(grant_id=grant.pk, reviewer=duty.alice, note="Fine.", now=duty.now)
    page = Client()
    page.force_login(duty.bob, backend="accounts.backends.PasswordBackend")
    assert "Review incident access without approval" in page.get(f"/grants/{grant.ref}/").content.decode()
    page.post(f"/grants/{grant.ref}/review/", {"note": "Fine."})
    grant.refresh_from_db()
    assert (grant.reviewed_by, grant.review_note) == (duty.bob, "Fine.")


@pytest.mark.parametrize("kind", ["incident", "break_glass"])
def test_a_review_that_is_overdue_refuses_the_next_start_without_approval(duty, kind):
    grant = used(duty)
    later = awake(after(duty, hours=25))
    own = duty.incident(duty.alice, now=later)
    more = {"workflow": own.ref} if kind == "incident" else {}
    with pytest.raises(
        RequestRefused, match=f"The review of {grant.ref}, which started without approval, is overdue"
    ):
        duty.request(now=later, kind=kind, **more)
    review_break_glass(grant_id=grant.pk, reviewer=duty.bob, note="Fine.", now=later)
    assert duty.request(now=later, kind=kind, **more).state == "approved"


def test_it_is_neither_extended_nor_handed_on(duty):
    change(duty, policy(duty, delegation={"to": {"identities": ["charlie"]}}))
    grant = duty.respond(duty.incident(duty.alice))
    with pytest.raises(MayNotExtend, match="does not allow extensions"):
        extend_grant(grant_id=grant.pk, requester=duty.alice, seconds=600, reason="More.", now=duty.now)
    with pytest.raises(NotWithin, match="can't be delegated"):
        hand_on(duty, grant, "charlie")


def test_it_ends_with_the_incident_and_is_reviewed_all_the_same(duty):
    incident = duty.incident(duty.alice)
    grant = duty.respond(incident)
    close_workflow(workflow_id=incident.pk, actor=duty.alice, note="", now=duty.now)
    grant.refresh_from_db()
    assert grant.end_reason == "workflow_closed"
    assert list(deciders.reviews_for(duty.bob)) == [grant]


# Machines.


@pytest.mark.parametrize("opener", ["robot", "alice", "deployer"])
@pytest.mark.parametrize("entry_point", ["api", "verb"])
def test_a_machine_gets_nothing_by_an_incident_of_its_own_or_its_owners_by_any_entry_point(
    duty, entry_point, opener
):
    incident = duty.incident(getattr(duty, opener))
    assert "machines get no access" in ENTRY_POINTS[entry_point](duty, duty.robot, incident, "Restart it")
    assert not AccessRequest.objects.exists()
    assert ENTRY_POINTS[entry_point](duty, duty.robot, duty.incident(duty.bob), "") == ""


def test_a_machine_that_opened_the_incident_waits_for_people_at_its_own_tools(duty):
    assert by_mcp(duty, duty.robot, duty.incident(duty.robot), "Restart it") == ""
    assert AccessRequest.objects.get().state == "pending"


def test_a_machine_gets_nothing_by_its_own_incident_where_people_approve_either(duty):
    change(duty, policy(duty, incident={**INCIDENT, "approvals": "same"}))
    assert "machines get no access" in by_verb(duty, duty.robot, duty.incident(duty.robot), "Restart it")


def hand_on(world, grant: Grant, to: str) -> Grant:
    part = Part(identity=to, command_set="restart-web", parameters={}, reason="Help.")
    return delegate_grant(grant_id=grant.pk, actor=grant.holder, part=part, now=world.now)


@pytest.mark.parametrize("opener", ["robot", "charlie"])
def test_what_a_machine_opened_is_not_handed_on_to_it(duty, opener):
    create_identity(username="helper", kind="agent", owner=duty.charlie, actor=SETUP, now=duty.now)
    duty.charlie.groups.set(duty.alice.groups.all())
    helped = {"robot": "robot", "charlie": "helper"}[opener]
    change(duty, policy(duty, delegation={"to": {"identities": ["robot", "helper", "dora"]}}))
    change(
        duty,
        {
            "groups/operators.yaml": "name: operators\nmembers: [alice, charlie, dora, robot, deployer]\n",
            "groups/on-call.yaml": "name: on-call\nmembers: [dora]\n",
        },
    )
    grant = duty.respond(duty.incident(getattr(duty, opener)), duty.dora)
    assert grant.state == "active"
    with pytest.raises(NotWithin, match="machines get no access"):
        hand_on(duty, grant, helped)
    offered = {one.username for one in delegates_of(grant, duty.now)}
    assert offered == {"robot", "helper"} - {helped}
    assert hand_on(duty, grant, offered.pop()).state == "scheduled"


# A policy that forbids it.


FORBIDDEN = {**INCIDENT, "own": "forbid"}


def forbid_by_apply(world, files: dict[str, str], tmp_path: Path) -> None:
    for name, text in {**world.catalog, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    call_command("apply", str(tmp_path), stdout=io.StringIO())


def forbid_by_api(world, files: dict[str, str], _: Any) -> None:
    caller = Caller(world.admin, token_for(world.admin, world.now))
    assert caller.post("/catalog/apply", {"files": {**world.catalog, **files}}).status_code == 200


def forbid_by_page(world, files: dict[str, str], _: Any) -> None:
    client = Client()
    client.force_login(world.admin, backend="accounts.backends.PasswordBackend")
    saved = client.post(
        "/policies/web-work/edit/", {"source": files["policies/web-work.yaml"], "act": "save"}, follow=True
    )
    assert (
        "People who opened or last changed the incident, or may have done so, get no access for it."
        in saved.content.decode()
    )


@pytest.mark.parametrize("forbid", [forbid_by_apply, forbid_by_api, forbid_by_page])
def test_a_policy_may_forbid_own_incidents_and_every_entry_point_refuses_them_then(duty, tmp_path, forbid):
    forbid(duty, policy(duty, incident=FORBIDDEN), tmp_path)
    assert AccessPolicy.objects.get().document["incident"]["own"] == "forbid"
    own = duty.incident(duty.alice)
    for entry_point in (by_page, by_api, by_verb):
        assert "gives no access for your own incidents" in entry_point(
            duty, duty.alice, own, "Checkout is down"
        )
    page = Client()
    page.force_login(duty.alice, backend="accounts.backends.PasswordBackend")
    assert "Get incident access" not in page.get(f"/incidents/{own.ref}/").content.decode()
    assert duty.respond(duty.incident()).state == "active"


def test_own_access_ends_when_the_policy_forbids_it(duty):
    grant = duty.respond(duty.incident(duty.alice))
    change(duty, policy(duty, incident=FORBIDDEN))
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == ("revoking", "policy_changed")


def test_where_people_approve_own_incidents_need_no_review(duty):
    change(duty, policy(duty, incident={**INCIDENT, "approvals": "same"}))
    asked = duty.request(kind="incident", workflow=duty.incident(duty.alice).ref, reason="")
    assert asked.state == "pending"
    grant = Grant.objects.get(request=duty.decide(asked))
    assert grant.review_due_at is None
    assert provision_grant(grant_id=grant.pk, now=duty.now).state == "active"


def test_a_review_is_due_when_the_policy_says(duty):
    change(duty, policy(duty, incident={**INCIDENT, "review_within": "4h"}))
    assert duty.respond(duty.incident(duty.alice)).review_due_at == after(duty, hours=4)
