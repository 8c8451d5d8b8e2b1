"""The pages of workflows of every kind, and of requesting access for them."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.utils import timezone

from accounts.models import Identity
from broker.kernel.moments import Sayer
from sessions_app.models import AccessRequest, Grant, Notice, Workflow
from sessions_app.policy.policies import WorkflowNeeded
from sessions_app.queries.workflows import fitting, takes
from tests.support.world import acts
from tests.support.world.acts import policy

FORM = {"kind": "ticket", "title": "A customer's refund", "cluster": ["web"], "assignee": "Alice"}


def text(client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return answer.content.decode()


def test_a_ticket_is_opened_found_by_its_kind_joined_and_closed(as_bob, world):
    answer = as_bob.post("/workflows/", FORM)
    ticket = Workflow.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/workflows/{ticket.ref}/")
    assert (ticket.kind, ticket.assignee, ticket.ref[:4]) == ("ticket", world.alice, "TKT-")
    assert ticket.ref in text(as_bob, "/workflows/?kind=ticket")
    assert ticket.ref not in text(as_bob, "/workflows/?kind=change")
    assert ticket.ref not in text(as_bob, "/workflows/?state=closed")
    as_bob.post(f"/workflows/{ticket.ref}/join/")
    assert list(ticket.members.all()) == [world.bob]
    page = text(as_bob, f"/workflows/{ticket.ref}/")
    assert "Assigned to" in page
    assert f"/requests/new/?workflow={ticket.ref}" in page
    as_bob.post(f"/workflows/{ticket.ref}/close/", {"note": "Paid back."})
    assert ticket.ref in text(as_bob, "/workflows/?state=closed")


def test_a_change_has_its_planned_time(as_bob, world):
    day = (world.now + dt.timedelta(days=1)).date().isoformat()
    planned = {"from_day": day, "from_hour": "01:00", "to_day": day, "to_hour": "03:00"}
    assert as_bob.post("/workflows/", {**FORM, "kind": "change", **planned}).status_code == 302
    change = Workflow.objects.get()
    assert change.ends_at - change.starts_at == dt.timedelta(hours=2)
    assert "Planned" in text(as_bob, f"/workflows/{change.ref}/")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "change"}, "Enter when the change starts and ends"),
        ({"kind": "pipeline"}, "Unknown kind of workflow"),
        ({"kind": "ticket", "severity": "P1"}, "Unknown severity"),
        ({"assignee": "nobody"}, "Unknown user nobody"),
        (
            {
                "kind": "ticket",
                "from_day": "2030-01-01",
                "from_hour": "01:00",
                "to_day": "2030-01-02",
                "to_hour": "01:00",
            },
            "Only changes have a planned time",
        ),
        ({"kind": "incident", "severity": "P1"}, "Incidents have no assignee"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_typed_is_lost(as_bob, changes, said):
    answer = as_bob.post("/workflows/", {**FORM, **changes})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert said in page
    assert "A customer&#x27;s refund" in page
    assert not Workflow.objects.exists()


def test_who_may_not_see_the_clusters_sees_no_work_there(as_charlie, world):
    ticket = world.workflow("ticket")
    assert ticket.ref not in text(as_charlie, "/workflows/?state=all")
    for url in (f"/workflows/{ticket.ref}/", f"/workflows/{ticket.ref}/live/"):
        assert as_charlie.get(url).status_code == 404
    for act in ("join", "close", "access"):
        assert as_charlie.post(f"/workflows/{ticket.ref}/{act}/").status_code == 404


def test_a_link_names_the_work_and_the_request_is_bound_to_it(as_alice, world):
    ticket = world.workflow("ticket")
    world.apply(policy(world, workflow={"kinds": ["ticket"]}))
    page = text(as_alice, f"/requests/new/?workflow={ticket.ref}")
    assert f'<option value="{ticket.ref}" selected>' in page
    form = {"kind": "planned", "cluster": "web", "command_set": "restart-web", "duration": "1h", "reason": "Refund",
            "p.unit": "nginx", "incident": ticket.ref}  # fmt: skip
    preview = as_alice.post("/requests/preview/", form).content.decode()
    assert f"{ticket.ref} is open. Access ends when it is closed." in preview
    as_alice.post("/requests/new/", {**form, "send": "1"})
    assert AccessRequest.objects.get().workflow == ticket
    without = as_alice.post("/requests/new/", {**form, "send": "1", "incident": ""})
    assert "requires a workflow" in without.content.decode()


@pytest.mark.parametrize("kind", ["ticket", "change", "task", "incident"])
def test_access_for_work_that_one_is_not_on_call_for_is_asked_for_on_the_form_that_names_it(
    world, as_alice, kind
):
    world.apply(policy(world, incident=None))
    workflow = world.workflow(kind, **({"severity": "P2"} if kind == "incident" else {}))
    answer = as_alice.post(f"/workflows/{workflow.ref}/access/", follow=True)
    assert answer.redirect_chain == [(f"/requests/new/?kind=planned&workflow={workflow.ref}", 302)]
    ask = answer.context["ask"]
    assert (ask.draft.kind, ask.draft.incident) == ("planned", workflow.ref)
    assert f'<option value="{workflow.ref}" selected>' in answer.content.decode()


def test_access_for_an_incident_that_one_is_on_call_for_is_got_from_the_same_address(world, as_alice):
    incident = world.incident()
    answer = as_alice.post(f"/workflows/{incident.ref}/access/")
    assert answer["Location"].startswith("/requests/new/?kind=incident")
    world.apply(acts.with_triage(world))
    as_alice.post(f"/workflows/{incident.ref}/access/")
    assert Grant.objects.get().workflow == incident


def test_what_is_taken_from_the_work_is_shown_and_not_asked_for(as_alice, world):
    bound = world.catalogue["command-sets/restart-web.yaml"].replace(
        "unit: {choice: [nginx, haproxy]}", "unit: {name: 20, from: workflow.id}"
    )
    bound = bound.replace('allow: ["echo restart nginx"]', 'allow: ["sleep 5"]').replace(
        'refuse: ["echo restart nginx; id", "echo restart sshd"]', 'refuse: ["id"]'
    )
    world.apply({"command-sets/restart-web.yaml": bound})
    ticket = world.workflow("ticket")
    page = text(as_alice, f"/requests/new/?workflow={ticket.ref}")
    assert "Filled in from the linked workflow." in page
    assert 'name="p.unit"' not in page


# Access for a change that begins tomorrow

ASKED = {
    "kind": "planned", "cluster": "web", "command_set": "restart-web", "duration": "1h", "reason": "New kernel",
    "p.unit": "nginx",
}  # fmt: skip


@pytest.fixture
def tomorrow(world):
    begins = world.now + dt.timedelta(days=1)
    return world.workflow("change", starts_at=begins, ends_at=begins + dt.timedelta(hours=2))


def test_the_preview_says_that_it_starts_with_the_change(as_alice, world, tomorrow):
    answer = as_alice.post("/requests/preview/", {**ASKED, "incident": tomorrow.ref})
    page = answer.content.decode()
    assert f"Starts with {tomorrow.ref}." in page
    assert "starting on approval" not in page
    assert answer.context["outcome"].preview.starts_at == tomorrow.starts_at
    world.apply(policy(world, approvals="none", incident=None))
    assert (
        "Starts immediately"
        not in as_alice.post("/requests/preview/", {**ASKED, "incident": tomorrow.ref}).content.decode()
    )


def test_a_request_for_a_change_proposes_its_command_set_and_its_whole_window(world, as_alice, tomorrow):
    # Cheaper, and first by name, but not meant for changes.
    world.apply({
        **policy(world, workflow={"kinds": ["change"]}),
        "command-sets/a-look.yaml": "name: a-look\nkind: ssh\nsummary: Look\nrisk: low\ncommands:\n  - run: uptime\n    effect: read\n"
        "examples: {allow: [uptime], refuse: [reboot]}\n",
        "policies/looks.yaml": "name: looks\nclusters: [web]\ncommand_sets: [a-look]\nrequesters: {groups: [operators]}\n"
        "approvals: none\nmax_duration: 4h\n",
    })  # fmt: skip
    for draft in (
        as_alice.get(f"/requests/new/?workflow={tomorrow.ref}").context["ask"].draft,
        as_alice.post(
            "/requests/preview/",
            {**ASKED, "command_set": "a-look", "incident": tomorrow.ref, "shown_incident": ""},
        ).context["ask"].draft,
    ):  # fmt: skip
        assert (draft.command_set, draft.duration) == ("restart-web", "2h")
    # What somebody chose after that stays.
    chosen = {**ASKED, "incident": tomorrow.ref, "shown_incident": tomorrow.ref, "duration": "30m"}
    kept = as_alice.post("/requests/preview/", chosen).context["ask"].draft
    assert (kept.command_set, kept.duration) == ("restart-web", "30m")


def test_what_a_policy_takes_is_the_same_for_one_piece_of_work_and_for_a_list(world):
    pieces = [world.workflow("ticket"), world.incident(severity="P1"), world.incident(severity="P3")]
    for needed in (
        {"kinds": ["ticket"]}, {"kinds": ["incident"], "severity": ["P1", "P2"]}, {"kinds": ["ticket", "incident"], "sources": ["pager"]},
        {"kinds": ["incident", "ticket"], "sources": ["stint"]},
    ):  # fmt: skip
        terms = WorkflowNeeded(**needed)
        found = set(Workflow.objects.filter(fitting(terms)).values_list("pk", flat=True))
        assert {one.pk for one in pieces if takes(terms, one)} == found


def test_of_a_window_that_is_longer_than_the_policy_allows_as_much_as_it_allows_is_proposed(world, as_alice):
    begins = world.now + dt.timedelta(days=1)
    long = world.workflow("change", starts_at=begins, ends_at=begins + dt.timedelta(hours=9))
    assert as_alice.get(f"/requests/new/?workflow={long.ref}").context["ask"].draft.duration == "4h"
    running = world.workflow(
        "change", starts_at=world.now - dt.timedelta(hours=1), ends_at=world.now + dt.timedelta(hours=3)
    )
    assert as_alice.get(f"/requests/new/?workflow={running.ref}").context["ask"].draft.seconds <= 3 * 3600


def test_a_start_before_the_change_is_mended_by_one_button_that_says_so(as_alice, tomorrow):
    early = timezone.localtime(tomorrow.starts_at - dt.timedelta(hours=3))
    form = {**ASKED, "incident": tomorrow.ref, "day": f"{early:%Y-%m-%d}", "hour": f"{early:%H:%M}"}
    page = as_alice.post("/requests/preview/", form).content.decode()
    assert f'value="starts_at=">Start with {tomorrow.ref}</button>' in page
    mended = as_alice.post("/requests/new/", {**form, "apply": "starts_at="})
    assert mended.context["outcome"].preview.decision.outcome == "needs_approval"


def test_who_decides_sees_who_else_is_there_when_the_change_begins(world, as_bob, tomorrow):
    now_there = world.grant(who=world.robot)
    there_then = world.grant(who=world.deployer, start=False, starts_at=tomorrow.starts_at)
    request = world.request(workflow=tomorrow.ref)
    answer = as_bob.get(f"/approvals/{request.ref}/")
    found = answer.context["facts"]
    assert (found.starts_at, found.ends_at) == (
        tomorrow.starts_at,
        tomorrow.starts_at + dt.timedelta(hours=1),
    )
    assert found.overlapping == [there_then]
    assert now_there not in found.overlapping
    assert "starting on approval" not in answer.content.decode()
    assert not any(line.has_already for line in found.lines)


def test_the_bar_of_a_request_lies_where_its_change_does(world, as_alice, tomorrow):
    request = world.request(workflow=tomorrow.ref)
    day = timezone.localtime(tomorrow.starts_at).date()
    board = as_alice.get(f"/timeline/?day={day}").context["board"]
    (bar,) = [bar for row in board.chart.rows for bar in row.bars]
    assert (bar.span.start, bar.span.end) == (tomorrow.starts_at, tomorrow.starts_at + dt.timedelta(hours=1))
    today = timezone.localtime(world.now).date()
    assert not [
        bar for row in as_alice.get(f"/timeline/?day={today}").context["board"].chart.rows for bar in row.bars
    ]
    world.decide(request, verdict="deny", comment="Not then")
    board = as_alice.get(f"/timeline/?day={day}").context["board"]
    assert [bar.span.start for row in board.chart.rows for bar in row.bars] == [tomorrow.starts_at]


def test_what_people_are_told_of_the_start_is_when_the_change_begins(world, tomorrow):
    world.decide(world.request(workflow=tomorrow.ref))
    begins = Sayer.of("UTC").moment(tomorrow.starts_at)
    asked, approved = (
        Notice.objects.filter(identity=who).latest("pk").body for who in (world.bob, world.alice)
    )
    assert f"Start: {begins}" in asked
    assert f"It starts {begins} and ends automatically." in approved


def test_what_needs_no_approval_says_when_it_starts(world, as_alice, tomorrow):
    world.apply(policy(world, approvals="none", incident=None))
    answer = as_alice.post("/requests/new/", {**ASKED, "incident": tomorrow.ref, "send": "1"}, follow=True)
    page = answer.content.decode()
    assert "your access starts." not in page
    assert "automatically" in page


@pytest.mark.parametrize("page", ["/workflows/", "/incidents/", "/timeline/"])
def test_the_lists_follow_what_happens(as_bob, page):
    assert 'id="page" data-live="workflow grant' in as_bob.get(page).content.decode()


@pytest.mark.parametrize("page", ["/workflows/", "/incidents/"])
def test_the_button_that_leads_to_the_form_shows_on_small_screens_as_well(as_bob, page):
    (button,) = re.findall(r'<a class="([^"]*)" href="#open">', as_bob.get(page).content.decode())
    assert "not-s" not in button.split()


def words(answer) -> str:
    return re.sub(r"<[^>]*>", "", answer.content.decode())


@pytest.mark.usefixtures("at_noon")
def test_one_reads_the_time_of_a_change_in_ones_own_zone_and_in_utc(world, as_alice, as_bob):
    begins = dt.datetime(2027, 1, 20, 23, 30, tzinfo=dt.UTC)
    world.apply(policy(world, max_horizon="1000d"))
    change = world.workflow("change", starts_at=begins, ends_at=begins + dt.timedelta(hours=2))
    Identity.objects.update(time_zone="Asia/Kolkata")
    both = re.compile(r"05:00 to 06:00 IST \(\w+ 20 Jan, 23:30 to \w+ 21 Jan, 00:30 UTC\)")
    form = {**ASKED, "incident": change.ref}
    assert both.search(words(as_alice.post("/requests/preview/", form)))
    long = words(as_alice.post("/requests/preview/", {**form, "duration": "3h"}))
    assert re.search(r"which ends \w+ 21 Jan \d+, 07:00 IST \(01:30 UTC\)", long)
    sent = words(as_alice.post("/requests/new/", {**form, "duration": "3h", "send": "1"}))
    assert len(re.findall(r"which ends \w+ 21 Jan \d+, 07:00 IST \(01:30 UTC\)", sent)) == 2
    assert "January" not in sent
    request = world.request(workflow=change.ref)
    assert both.search(words(as_bob.get(f"/approvals/{request.ref}/")))
    world.decide(request)
    assert "06:00 IST (00:30 UTC)" in words(as_alice.get(f"/grants/{Grant.objects.get().ref}/"))
    Identity.objects.update(time_zone="UTC")
    assert "UTC)" not in words(as_alice.post("/requests/preview/", form))


def test_a_request_says_that_it_lapsed_with_its_work_and_can_not_be_decided(world, as_alice, as_bob):
    ticket = world.workflow("ticket")
    request = world.request(workflow=ticket.ref)
    as_bob.post(f"/workflows/{ticket.ref}/close/")
    for client, path in ((as_alice, f"/requests/{request.ref}/"), (as_bob, f"/approvals/{request.ref}/")):
        assert f"because {ticket.ref} is closed" in words(client.get(path))
    assert f"closed {request.ref}: {ticket.ref} had ended" in words(as_alice.get("/record/"))


def test_a_request_whose_change_is_over_shows_no_buttons_before_any_worker_has_come(
    world, as_alice, as_bob, now
):
    change = world.workflow("change")
    request = world.request(workflow=change.ref)
    Workflow.objects.filter(pk=change.pk).update(starts_at=now - dt.timedelta(hours=2), ends_at=now)
    for client, path in ((as_alice, f"/requests/{request.ref}/"), (as_bob, f"/approvals/{request.ref}/")):
        page = words(client.get(path))
        assert f"because the planned time of {change.ref} has passed" in page
        assert "if no one decides" not in page
    assert 'value="approve"' not in text(as_bob, f"/approvals/{request.ref}/")


def test_an_empty_list_says_why_it_is_empty_and_what_to_do(world, as_alice, as_charlie):
    assert "No open workflows" in text(as_alice, "/workflows/")
    for query in ("?kind=change", "?state=closed", "?source=pager", "?before=1"):
        page = text(as_alice, f"/workflows/{query}")
        assert "No matches" in page
        assert '<a class="btn s" href="/workflows/">Show all open</a>' in page
    world.workflow("ticket")
    page = text(as_charlie, "/workflows/")
    assert "No clusters" in page
    assert "An administrator can add you to a group" in page
