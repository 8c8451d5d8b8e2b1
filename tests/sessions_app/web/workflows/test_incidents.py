"""Incidents in the pages: open one, get access for it, see who has it, close it."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app.models import AccessRequest, CommandRun, Grant, RequestState, RunState, Workflow
from tests.support.world import acts

FORM = {"title": "Checkout is slow", "severity": "P2", "cluster": ["web"]}


@pytest.fixture
def incident(world) -> Workflow:
    return world.incident()


def text(client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, url
    return answer.content.decode()


def test_one_is_opened_with_a_title_a_severity_and_clusters(world, as_bob):
    answer = as_bob.post("/incidents/", FORM, follow=True)
    incident = Workflow.objects.get()
    assert answer.redirect_chain == [(f"/incidents/{incident.ref}/", 302)]
    assert (incident.title, incident.severity, incident.opened_by) == ("Checkout is slow", "P2", world.bob)
    page = answer.content.decode()
    assert f"{incident.ref}: Checkout is slow" in page
    assert "No one you can see has had access for it" in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"title": " "}, "Describe the problem in a few words"), ({"severity": "P7"}, "Unknown severity"),
     ({"cluster": []}, "Select the affected clusters"), ({"cluster": ["db"]}, "Unknown cluster db")],
)  # fmt: skip
def test_what_does_not_fit_is_said_beside_the_form_and_nothing_typed_is_lost(as_bob, changes, said):
    answer = as_bob.post("/incidents/", {**FORM, **changes})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert said in page
    if "title" not in changes:
        assert 'value="Checkout is slow"' in page
    assert not Workflow.objects.exists()


def test_who_sees_no_cluster_opens_none_and_sees_none(as_charlie, incident):
    page = text(as_charlie, "/incidents/")
    assert "No open incidents" in page
    assert incident.ref not in page
    assert as_charlie.post("/incidents/", FORM).status_code == 400
    assert as_charlie.get(f"/incidents/{incident.ref}/").status_code == 404
    assert as_charlie.get("/incidents/INC-999999/").status_code == 404


def test_one_button_starts_the_set_with_nothing_left_to_choose(world, as_alice, incident):
    world.apply(acts.with_triage(world))
    assert f'action="/incidents/{incident.ref}/access/"' in text(as_alice, "/")
    answer = as_alice.post(f"/incidents/{incident.ref}/access/")
    grant = Grant.objects.get()
    assert answer["Location"] == f"/grants/{grant.ref}/"
    assert (grant.workflow, str(grant.command_set_version)) == (incident, "triage v1")
    assert (grant.expires_at - grant.starts_at).total_seconds() == 7200
    home = text(as_alice, "/")
    assert "Go to your access" in home
    assert "Get incident access" not in home


def test_a_ticket_or_a_change_is_no_incident_that_one_is_on_call_for(world, as_alice, incident):
    world.apply(acts.with_triage(world))
    others = [world.workflow("ticket"), world.workflow("change")]
    home = text(as_alice, "/")
    assert "<h1>You are on call, Alice</h1>" in home
    assert f"{incident.ref}</a> is open and you are on call" in home
    ask = as_alice.get("/requests/new/?kind=incident").context["ask"]
    assert [one.ref for one in ask.incidents] == [incident.ref]
    for workflow in others:
        assert workflow.ref not in home
        assert "ncident access" not in text(as_alice, f"/workflows/{workflow.ref}/")
        assert as_alice.post(f"/workflows/{workflow.ref}/access/").status_code == 302
    assert not Grant.objects.exists()


def test_where_something_has_to_be_chosen_the_button_leads_to_the_form_that_is_filled(as_alice, incident):
    answer = as_alice.post(f"/incidents/{incident.ref}/access/")
    assert answer["Location"].startswith("/requests/new/?kind=incident&cluster=web&set=restart-web")
    ask = as_alice.get(answer["Location"]).context["ask"]
    assert (ask.draft.kind, ask.draft.incident, ask.draft.cluster) == ("incident", incident.ref, "web")
    assert not AccessRequest.objects.exists()


def test_where_the_policy_wants_approval_the_button_asks_for_it(world, as_alice, incident):
    same = {"incident": {"on_call": ["on-call"], "approvals": "same"}}
    world.apply(acts.with_triage(world, **same))
    assert "Request incident access" in text(as_alice, f"/incidents/{incident.ref}/")
    as_alice.post(f"/incidents/{incident.ref}/access/")
    assert AccessRequest.objects.get().state == RequestState.PENDING


def test_who_is_not_on_call_has_no_button_and_gets_nothing_by_the_address(world, as_bob, browser, incident):
    world.apply(acts.with_triage(world))
    for client in (as_bob, browser("admin")):
        assert "ncident access" not in text(client, f"/incidents/{incident.ref}/")
        assert "you are on call" not in text(client, "/")
        assert client.post(f"/incidents/{incident.ref}/access/").status_code == 302
    assert not Grant.objects.exists()


def test_the_page_says_who_holds_what_and_what_was_run(world, as_bob, incident, now):
    grant = world.respond(incident)
    used = acts.use(grant, now=now)
    acts.run(used, acts.session(used, now=now), "echo restart sshd", now=now)
    page = text(as_bob, f"/incidents/{incident.ref}/")
    assert grant.ref in page
    assert grant.request.ref in page
    assert "echo restart sshd" in page
    assert "1 command, 1 refused" in page
    assert 'role="timer"' in page
    assert "Alice" in text(as_bob, "/incidents/")


def test_a_lost_view_is_said_once_and_what_was_typed_in_vain_is_not_fetched_away(as_bob, incident):
    there = f"/incidents/{incident.ref}/"
    page = text(as_bob, there)
    assert (page.count("data-lost"), page.count("data-live")) == (1, 1)
    too_long = "The disk was full. " * 300
    refused = as_bob.post(f"{there}close/", {"note": too_long})
    assert refused.status_code == 400
    assert too_long in refused.content.decode()
    assert "data-live" not in refused.content.decode()


def test_closing_says_what_will_end_and_ends_it(world, as_bob, incident, now):
    grant = world.respond(incident)
    used = acts.use(grant, now=now)
    acts.run(used, acts.session(used, now=now), "sleep 60", now=now)
    page = text(as_bob, f"/incidents/{incident.ref}/")
    assert "1 grant held by 1 person ends immediately" in page
    assert "1 running or held command is terminated" in page
    answer = as_bob.post(f"/incidents/{incident.ref}/close/", {"note": "Restarted <nginx>"}, follow=True)
    closed = answer.content.decode()
    assert "Restarted &lt;nginx&gt;" in closed
    assert "data-live" not in closed
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == ("revoking", "workflow_closed")
    assert incident.ref in text(as_bob, "/incidents/")
    assert "orkflow closed" in text(as_bob, f"/grants/{grant.ref}/")


def test_a_held_command_that_has_lapsed_is_not_among_what_closing_cuts(world, as_bob, incident, now):
    used = acts.use(world.respond(incident), now=now)
    run = CommandRun.objects.filter(
        pk=acts.run(used, acts.session(used, now=now), "sleep 60", now=now).run_id
    )
    for lapses, cut in ((now + dt.timedelta(hours=1), True), (now - dt.timedelta(seconds=1), False)):
        run.update(state=RunState.HELD, hold_lapses_at=lapses)
        page = text(as_bob, f"/incidents/{incident.ref}/")
        assert ("1 running or held command is terminated" in page) is cut


def test_a_note_that_is_too_long_is_kept_and_nothing_ends(world, as_bob, incident):
    grant = world.respond(incident)
    answer = as_bob.post(f"/incidents/{incident.ref}/close/", {"note": "x" * 4001})
    assert answer.status_code == 400
    assert "x" * 4001 in answer.content.decode()
    grant.refresh_from_db()
    assert grant.state == "active"


def test_closed_twice_is_closed_once(as_bob, browser, incident):
    as_bob.post(f"/incidents/{incident.ref}/close/", {"note": "Fixed"})
    browser("dora").post(f"/incidents/{incident.ref}/close/", {"note": "Again"})
    incident.refresh_from_db()
    assert incident.close_note == "Fixed"


def test_the_live_part_answers_only_with_news(world, as_bob, incident):
    seen = as_bob.get(f"/incidents/{incident.ref}/").context["shown"].seen
    url = f"/incidents/{incident.ref}/live/?seen={seen}"
    assert as_bob.get(url).status_code == 204
    world.respond(incident)
    news = as_bob.get(url)
    assert news.status_code == 200
    assert news.content.decode().lstrip().startswith('<div id="live"')


def test_the_pages_cost_the_same_for_any_number_of_rows(world, browser, now):
    def grow(many: int) -> Workflow:
        for _ in range(many):
            incident = world.incident()
            grant = world.respond(incident)
            used = acts.use(grant, now=now)
            acts.run(used, acts.session(used, now=now), now=now)
        return incident

    def count(client, url: str) -> int:
        client.get(url)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    world.apply(acts.with_triage(world))
    first = grow(1)
    clients = {name: browser(name) for name in ("alice", "bob", "admin")}
    urls = ("/incidents/", f"/incidents/{first.ref}/", "/")
    before = {(name, url): count(client, url) for name, client in clients.items() for url in urls}
    grow(4)
    for _ in range(4):
        world.respond(first)
    after = {(name, url): count(client, url) for name, client in clients.items() for url in urls}
    for key, queries in after.items():
        # The clock asks the database now and then.
        assert queries <= before[key] + 1, key


def test_what_people_typed_is_shown_as_text(world, as_alice, as_bob):
    world.apply(acts.with_triage(world))
    incident = world.incident(title="<script>alert(1)</script>")
    for url in ("/", "/incidents/", f"/incidents/{incident.ref}/", "/requests/new/?kind=incident"):
        page = text(as_alice, url)
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
