"""The pages of workflows of every kind, and of requesting access for them."""

import datetime as dt
import re

import pytest
from django.utils import timezone

from sessions_app.models import AccessRequest, Workflow
from sessions_app.policy.policies import WorkflowNeeded
from sessions_app.queries.workflows.workflows import fitting, takes
from tests.support.world.acts import policy
from tests.support.world.reading import answered, read, says

FORM = {"kind": "ticket", "title": "A customer's refund", "cluster": ["web"], "assignee": "Alice"}


def test_a_ticket_is_opened_found_by_its_kind_joined_and_closed(as_bob, world):
    answer = as_bob.post("/workflows/", FORM)
    ticket = Workflow.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/workflows/{ticket.ref}/")
    assert (ticket.kind, ticket.assignee, ticket.ref[:4]) == ("ticket", world.alice, "TKT-")
    assert ticket.ref in read(as_bob, "/workflows/?kind=ticket")
    assert ticket.ref not in read(as_bob, "/workflows/?kind=change")
    assert ticket.ref not in read(as_bob, "/workflows/?state=closed")
    as_bob.post(f"/workflows/{ticket.ref}/join/")
    assert list(ticket.members.all()) == [world.bob]
    says(read(as_bob, f"/workflows/{ticket.ref}/"), "Assigned to", f"/requests/new/?workflow={ticket.ref}")
    as_bob.post(f"/workflows/{ticket.ref}/close/", {"note": "Paid back."})
    assert ticket.ref in read(as_bob, "/workflows/?state=closed")


PLANNED = {"from_day": "2030-01-01", "from_hour": "01:00", "to_day": "2030-01-02", "to_hour": "01:00"}


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "ticket"},
        {"kind": "incident"},
        {"kind": "change", "from_day": "2030-01-01", "from_hour": "01:00"},
    ],
)
def test_what_was_typed_for_another_kind_is_kept_but_not_used(as_bob, kind):
    typed = {**FORM, **PLANNED, "severity": "P1", "title": ""}
    says(answered(as_bob.post("/workflows/", {**typed, **kind}), 400), 'value="2030-01-01"', 'value="Alice"')
    as_bob.post("/workflows/", {**typed, **kind, "title": "It is slow"})
    opened = Workflow.objects.get()
    used = [bool(value) for value in (opened.severity, opened.starts_at, opened.assignee)]
    assert used == {"ticket": [0, 0, 1], "incident": [1, 0, 0], "change": [0, 1, 1]}[opened.kind]


def test_who_may_not_see_the_clusters_sees_no_work_there(as_charlie, world):
    ticket = world.workflow("ticket")
    assert ticket.ref not in read(as_charlie, "/workflows/?state=all")
    for url in (f"/workflows/{ticket.ref}/", f"/workflows/{ticket.ref}/live/"):
        assert as_charlie.get(url).status_code == 404
    for act in ("join", "close", "access"):
        assert as_charlie.post(f"/workflows/{ticket.ref}/{act}/").status_code == 404


def test_a_link_names_the_work_and_the_request_is_bound_to_it(as_alice, world):
    ticket = world.workflow("ticket")
    world.apply(policy(world, workflow={"kinds": ["ticket"]}))
    page = read(as_alice, f"/requests/new/?workflow={ticket.ref}")
    assert f'<option value="{ticket.ref}" selected>' in page
    form = {
        "kind": "planned",
        "cluster": "web",
        "command_set": "restart-web",
        "duration": "1h",
        "reason": "Refund",
        "p.unit": "nginx",
        "incident": ticket.ref,
    }
    preview = as_alice.post("/requests/preview/", form).content.decode()
    assert f"{ticket.ref} is open. Access ends when it is closed." in preview
    as_alice.post("/requests/new/", {**form, "send": "1"})
    assert AccessRequest.objects.get().workflow == ticket
    without = as_alice.post("/requests/new/", {**form, "send": "1", "incident": ""})
    assert "requires a workflow" in without.content.decode()


# Access for a change that begins tomorrow

ASKED = {
    "kind": "planned",
    "cluster": "web",
    "command_set": "restart-web",
    "duration": "1h",
    "reason": "New kernel",
    "p.unit": "nginx",
}


@pytest.fixture
def tomorrow(world):
    begins = world.now + dt.timedelta(days=1)
    return world.workflow("change", starts_at=begins, ends_at=begins + dt.timedelta(hours=2))


def test_what_a_policy_takes_is_the_same_for_one_piece_of_work_and_for_a_list(world):
    pieces = [world.workflow("ticket"), world.incident(severity="P1"), world.incident(severity="P3")]
    for needed in (
        {"kinds": ["ticket"]},
        {"kinds": ["incident"], "severity": ["P1", "P2"]},
        {"kinds": ["ticket", "incident"], "sources": ["pager"]},
        {"kinds": ["incident", "ticket"], "sources": ["stint"]},
    ):
        terms = WorkflowNeeded(**needed)
        found = set(Workflow.objects.filter(fitting(terms)).values_list("pk", flat=True))
        assert {one.pk for one in pieces if takes(terms, one)} == found


def test_a_start_before_the_change_is_mended_by_one_button_that_says_so(as_alice, tomorrow):
    early = timezone.localtime(tomorrow.starts_at - dt.timedelta(hours=3))
    form = {**ASKED, "incident": tomorrow.ref, "day": f"{early:%Y-%m-%d}", "hour": f"{early:%H:%M}"}
    page = as_alice.post("/requests/preview/", form).content.decode()
    assert f'value="starts_at=">Start with {tomorrow.ref}</button>' in page
    mended = as_alice.post("/requests/new/", {**form, "apply": "starts_at="})
    assert mended.context["outcome"].preview.decision.outcome == "needs_approval"


def words(answer) -> str:
    return re.sub(r"<[^>]*>", "", answer.content.decode())


def test_a_request_says_that_it_lapsed_with_its_work_and_can_not_be_decided(world, as_alice, as_bob):
    ticket = world.workflow("ticket")
    request = world.request(workflow=ticket.ref)
    as_bob.post(f"/workflows/{ticket.ref}/close/")
    for client, path in ((as_alice, f"/requests/{request.ref}/"), (as_bob, f"/approvals/{request.ref}/")):
        assert f"because {ticket.ref} is closed" in words(client.get(path))
    assert f"closed {request.ref}: {ticket.ref} had ended" in words(as_alice.get("/record/"))
