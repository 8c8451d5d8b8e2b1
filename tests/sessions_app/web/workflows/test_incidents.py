"""Incidents in the pages: open one, get access for it, see who has it, close it."""

import pytest

from sessions_app.models import Grant, Workflow
from tests.support.world import acts
from tests.support.world.reading import read, says

FORM = {"title": "Checkout is slow", "severity": "P2", "cluster": ["web"]}


@pytest.fixture
def incident(world) -> Workflow:
    return world.incident()


def test_one_is_opened_with_a_title_a_severity_and_clusters(world, as_bob):
    answer = as_bob.post("/incidents/", FORM, follow=True)
    incident = Workflow.objects.get()
    assert answer.redirect_chain == [(f"/incidents/{incident.ref}/", 302)]
    assert (incident.title, incident.severity, incident.opened_by) == ("Checkout is slow", "P2", world.bob)
    page = answer.content.decode()
    says(page, f"{incident.ref}: Checkout is slow", "No one you can see has had access for this workflow")


def test_one_button_starts_the_set_with_nothing_left_to_choose(world, as_alice, incident):
    world.apply(acts.with_triage(world))
    assert f'action="/incidents/{incident.ref}/access/"' in read(as_alice, "/")
    answer = as_alice.post(f"/incidents/{incident.ref}/access/")
    grant = Grant.objects.get()
    assert answer["Location"] == f"/grants/{grant.ref}/"
    assert (grant.workflow, str(grant.command_set_version)) == (incident, "triage v1")
    assert (grant.expires_at - grant.starts_at).total_seconds() == 7200
    home = read(as_alice, "/")
    assert "Go to your access" in home
    assert "Get incident access" not in home


def test_home_tells_who_opened_it_that_someone_reviews_their_access(world, as_alice):
    own = world.incident(world.alice)
    says(read(as_alice, "/"), f"You opened {own.ref}, so someone else reviews the access.")


def test_home_offers_nothing_where_the_policy_forbids_own_incidents(world, as_alice):
    forbidden = {"on_call": ["on-call"], "max_duration": "2h", "own": "forbid"}
    world.apply(acts.policy(world, incident=forbidden))
    world.incident(world.alice)
    home = read(as_alice, "/")
    assert "No policy gives you access for it." in home
    assert "ncident access" not in home


def test_a_ticket_or_a_change_is_no_incident_that_one_is_on_call_for(world, as_alice, incident):
    world.apply(acts.with_triage(world))
    others = [world.workflow("ticket"), world.workflow("change")]
    home = read(as_alice, "/")
    says(home, "<h1>You are on call, Alice</h1>", f"{incident.ref}</a> is open and you are on call")
    ask = as_alice.get("/requests/new/?kind=incident").context["ask"]
    assert [one.ref for one in ask.incidents] == [incident.ref]
    for workflow in others:
        assert workflow.ref not in home
        assert "ncident access" not in read(as_alice, f"/workflows/{workflow.ref}/")
        assert as_alice.post(f"/workflows/{workflow.ref}/access/").status_code == 302
    assert not Grant.objects.exists()


def test_who_is_not_on_call_has_no_button_and_gets_nothing_by_the_address(world, as_bob, browser, incident):
    world.apply(acts.with_triage(world))
    for client in (as_bob, browser("admin")):
        assert "ncident access" not in read(client, f"/incidents/{incident.ref}/")
        assert "you are on call" not in read(client, "/")
        assert client.post(f"/incidents/{incident.ref}/access/").status_code == 302
    assert not Grant.objects.exists()


def test_closing_says_what_will_end_and_ends_it(world, as_bob, incident, now):
    grant = world.respond(incident)
    used = acts.use(grant, now=now)
    acts.run(used, acts.session(used, now=now), "sleep 60", now=now)
    page = read(as_bob, f"/incidents/{incident.ref}/")
    says(page, "1 grant held by 1 person ends immediately", "1 running or held command is terminated")
    answer = as_bob.post(f"/incidents/{incident.ref}/close/", {"note": "Restarted <nginx>"}, follow=True)
    closed = answer.content.decode()
    assert "Restarted &lt;nginx&gt;" in closed
    assert "data-live" not in closed
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == ("revoking", "workflow_closed")
    assert incident.ref in read(as_bob, "/incidents/")
    assert "orkflow closed" in read(as_bob, f"/grants/{grant.ref}/")


def test_the_live_part_answers_only_with_news(world, as_bob, incident):
    seen = as_bob.get(f"/incidents/{incident.ref}/").context["shown"].seen
    url = f"/incidents/{incident.ref}/live/?seen={seen}"
    assert as_bob.get(url).status_code == 204
    world.respond(incident)
    news = as_bob.get(url)
    assert news.status_code == 200
    assert news.content.decode().lstrip().startswith('<div id="live"')
