"""Whose doing a workflow of a source is: only what is known to be another person's stands in for approval or
review.
"""

import pytest

from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from sessions_app.models import Grant, Notice
from sessions_app.operations.grants.delegate_grant import NotWithin, Part, delegate_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.extend_grant import MayNotExtend, extend_grant
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.operations.workflows.read_workflow import read_workflow
from sessions_app.policy.rules import Whose
from sessions_app.queries.requests.past_requests import past_requests
from sessions_app.queries.workflows.doings import doing_of, roles_in
from tests.support.world.acts import after, awake, change, fresh, last, policy
from tests.support.world.sources import SOURCE, is_open, speaking_for
from tests.support.world.world import SETUP

REF = "pager:Q1"
OWN, OTHER, UNKNOWN = Whose.OWN, Whose.OTHER, Whose.UNKNOWN
ASSIGNED = {"workflow": {"kinds": ["incident"], "requester": "assignee", "approvals": "none"}}
ALICE, BOB = ("alice@example.com",), ("bob@example.com",)


@pytest.fixture
def pager(world):
    """A source, and Alice and her machine on call."""
    with speaking_for() as adapter:
        change(
            world,
            {
                "workflow-sources/pager.yaml": SOURCE,
                "groups/on-call.yaml": "name: on-call\nmembers: [alice, robot]\n",
            },
        )
        yield adapter


def told(pager, world, **said):
    """What the source says of its incident, read."""
    pager.workflows["Q1"] = is_open(**said)
    return read_workflow(ref=REF, now=world.now)


@pytest.mark.parametrize(
    ("opened_by", "changed_by", "whose"),
    [
        (BOB, (), OTHER),
        (BOB, BOB, OTHER),
        (ALICE, (), OWN),
        (("ALICE@example.com",), (), OWN),
        (BOB, ALICE, OWN),
        ((), (), UNKNOWN),
        (BOB, None, UNKNOWN),
        (("someone@else.example",), (), UNKNOWN),
        ((*BOB, "x"), (), UNKNOWN),
        (BOB, ("someone@else.example",), UNKNOWN),
        ((), ALICE, OWN),
        (("bob",), (), UNKNOWN),
    ],
)
@pytest.mark.parametrize("account", ["alice", "alice2", "robot"])
def test_it_is_told_by_the_person_behind_any_account_and_machine(
    world, pager, account, opened_by, changed_by, whose
):
    create_identity(username="alice2", email="alice@example.com", actor=SETUP, now=world.now)
    workflow = told(pager, world, opened_by=opened_by, changed_by=changed_by)
    assert doing_of(Identity.objects.get(username=account), workflow).whose is whose


def test_people_are_matched_as_the_document_of_the_source_says(world, pager):
    change(world, {"workflow-sources/pager.yaml": SOURCE + "people: username\n"})
    for opener, whose in ((("alice",), OWN), (("robot",), OWN), (("bob",), OTHER), (BOB, UNKNOWN)):
        pager.workflows[opener[0].replace("@", "").replace(".", "")] = is_open(opened_by=opener)
        workflow = read_workflow(ref=f"pager:{opener[0].replace('@', '').replace('.', '')}", now=world.now)
        assert doing_of(world.alice, workflow).whose is whose


def test_a_system_that_the_document_trusts_is_someone_else_but_not_for_who_has_its_name(world, pager):
    change(world, {"workflow-sources/pager.yaml": SOURCE + "trusted_openers: [PS1, alice@example.com]\n"})
    assert doing_of(world.alice, told(pager, world, opened_by=("ps1",))).whose is OTHER
    pager.workflows["Q2"] = is_open(opened_by=ALICE)
    assert doing_of(world.alice, read_workflow(ref="pager:Q2", now=world.now)).whose is OWN


def test_an_address_that_its_owner_has_not_confirmed_gives_no_role_and_makes_nobody_someone_else(
    world, pager
):
    workflow = told(pager, world, assigned=ALICE, on_call=ALICE)
    assert roles_in(workflow, world.alice) == {"assignee", "on_call", "member"}
    Identity.objects.filter(username__in=["alice", "bob"]).update(email_unconfirmed=True)
    world.alice.refresh_from_db()
    assert roles_in(workflow, world.alice) == set()
    assert doing_of(world.alice, workflow).whose is UNKNOWN
    # One's own doing stays one's own.
    pager.workflows["Q2"] = is_open(opened_by=ALICE)
    assert doing_of(world.alice, read_workflow(ref="pager:Q2", now=world.now)).whose is OWN


# What it means for access.

POSSIBLY_OWN = [
    ({"opened_by": ALICE}, "Alice opened pager:Q1"),
    ({"changed_by": ALICE}, "Alice last changed the severity, urgency or assignee of pager:Q1"),
    ({"opened_by": ()}, "Alice started access without approval for pager:Q1"),
    ({"changed_by": None}, "Alice started access without approval for pager:Q1"),
]


@pytest.mark.parametrize(("said", "began"), POSSIBLY_OWN)
def test_an_incident_of_a_source_that_may_be_ones_own_is_as_break_glass_access(world, pager, said, began):
    incident = told(pager, world, **said)
    with pytest.raises(RequestRefused, match="requires a reason"):
        world.respond(incident, reason="")
    grant = world.respond(incident, reason="Checkout is down")
    assert grant.is_own_incident
    assert last("breakglass.started", grant.ref).data["incident"] == REF
    assert Notice.objects.filter(event="breakglass.started", subject__startswith=began).count() == 2


@pytest.mark.parametrize("said", [said for said, _ in POSSIBLY_OWN])
def test_what_may_be_ones_own_stands_in_for_no_approval(world, pager, said):
    change(world, policy(world, **ASSIGNED))
    told(pager, world, assigned=ALICE, **said)
    request = world.request(workflow=REF)
    assert (request.state, request.vouched) == ("pending", False)


def test_what_is_known_to_be_another_persons_stands_in_for_approvals_and_the_record_says_so(world, pager):
    change(world, policy(world, **ASSIGNED))
    told(pager, world, assigned=ALICE)
    request = world.request(workflow=REF)
    assert (request.state, request.vouched) == ("approved", True)
    fact = last("request.created", request.ref).data
    assert (fact["workflow_of"], fact["workflow_doing"]) == (
        "other",
        "Someone else (bob@example.com) opened pager:Q1",
    )
    (past,) = past_requests(request.policy, world.now).requests
    assert past.workflow.doing.is_others


def test_who_takes_the_work_before_the_start_does_not_start_without_approval(world, pager):
    change(world, policy(world, **ASSIGNED))
    told(pager, world, assigned=ALICE)
    request = world.request(workflow=REF, starts_at=after(world, hours=1))
    later = awake(after(world, minutes=61))
    pager.workflows["Q1"] = is_open(assigned=ALICE, changed_by=ALICE)
    read_workflow(ref=REF, now=later)
    grant = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=later)
    assert grant.end_reason == "policy_changed"
    assert grant.end_note.startswith("Alice last changed the severity, urgency or assignee of pager:Q1.")


@pytest.mark.parametrize("kind", ["planned", "incident"])
def test_who_changes_the_work_meanwhile_keeps_the_access_and_extends_it_by_approval_only(world, pager, kind):
    change(world, policy(world, **ASSIGNED))
    told(pager, world, assigned=ALICE)
    request = world.request(workflow=REF, kind=kind)
    grant = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=world.now)
    pager.workflows["Q1"] = is_open(assigned=ALICE, changed_by=ALICE)
    with pytest.raises(MayNotExtend, match="Alice last changed"):
        extend_grant(grant_id=grant.pk, requester=world.alice, seconds=600, now=world.now)
    change(world, policy(world, **ASSIGNED, summary="In other words"))
    assert fresh(grant).state == "active"
    pager.workflows["Q1"] = is_open(assigned=ALICE)
    assert (
        extend_grant(grant_id=grant.pk, requester=world.alice, seconds=600, now=world.now).state == "approved"
    )


def test_work_that_may_be_a_machines_own_is_not_handed_on_to_it(world, pager):
    change(world, policy(world, delegation={"to": {"identities": ["robot"]}}))
    change(
        world,
        {
            "groups/on-call.yaml": "name: on-call\nmembers: [dora]\n",
            "groups/operators.yaml": "name: operators\nmembers: [dora, robot]\n",
        },
    )
    grant = world.respond(told(pager, world), world.dora)
    told(pager, world, changed_by=ALICE)
    part = Part(identity="robot", command_set="restart-web", parameters={})
    with pytest.raises(NotWithin, match="Robot or its owner last changed"):
        delegate_grant(grant_id=grant.pk, actor=world.dora, part=part, now=world.now)
