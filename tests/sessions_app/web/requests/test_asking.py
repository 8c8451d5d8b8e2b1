"""Asking for access in the pages."""

import datetime as dt
import re

import pytest
from django.utils import timezone

from broker.kernel.errors import InvalidInput
from sessions_app.models import AccessRequest, Grant, RequestState, Sweeper, Workflow
from sessions_app.web.forms.times import parse_start
from tests.support.world import acts
from tests.support.world.reading import answered, read, says
from tests.support.world.sources import SOURCE, is_closed, is_open, speaking_for

FORM = {
    "kind": "planned",
    "cluster": "web",
    "command_set": "restart-web",
    "duration": "1h",
    "reason": "Nightly restart",
    "p.unit": "nginx",
    "targets_of": "web",
    "target": ["web-1", "web-2"],
}


def test_the_panel_is_the_answer_of_the_same_evaluator_and_changes_nothing(as_alice, now):
    panel = as_alice.post(
        "/requests/preview/", {**FORM, "duration": "10h"}, headers={"HX-Request": "true"}
    ).content.decode()
    assert panel.lstrip().startswith('<section class="card" id="outcome"')
    says(panel, "10 h exceeds the limit of 4 h", 'name="apply" value="duration=14400"')
    Sweeper.objects.update(seen_at=now - dt.timedelta(minutes=2))
    stopped = as_alice.post("/requests/preview/", FORM).content.decode()
    assert "No process that ends access has run for 30 seconds" in stopped
    assert not AccessRequest.objects.exists()


def test_a_refused_request_says_why_and_loses_nothing_typed(as_alice):
    answer = as_alice.post(
        "/requests/new/",
        {
            **FORM,
            "send": "1",
            "duration": "",
            "other_duration": "10h",
            "ticket": "CHG-77",
            "reason": "All of <this>",
            "target": ["web-2"],
        },
    )
    page = answer.content.decode()
    assert answer.status_code == 422
    says(page, "10 h exceeds the limit of 4 h", 'value="CHG-77"', "All of &lt;this&gt;")
    assert [name.name for name, chosen in answer.context["ask"].target_choices if chosen] == ["web-2"]
    assert not AccessRequest.objects.exists()


def test_a_link_fills_the_form(as_alice):
    link = "/requests/new/?cluster=web&set=restart-web&for=30m&ticket=CHG-5&target=web-2&p.unit=haproxy"
    draft = as_alice.get(link).context["ask"].draft
    assert (draft.cluster, draft.command_set, draft.seconds, draft.ticket) == (
        "web",
        "restart-web",
        1800,
        "CHG-5",
    )
    assert (draft.targets, draft.parameters) == (("web-2",), {"unit": "haproxy"})


@pytest.mark.parametrize(
    "link",
    ["?cluster=no&set=no&for=-1&kind=no&start=never", "?for=" + "9" * 40, "?target=web-9&p.unit=nginx"],
)
def test_a_link_with_nonsense_is_a_form_all_the_same(as_alice, link):
    assert as_alice.get(f"/requests/new/{link}").status_code == 200


def test_breaking_the_glass_starts_at_once_with_a_reason(as_alice, browser):
    form = {**FORM, "kind": "break_glass", "send": "1"}
    assert as_alice.post("/requests/new/", {**form, "reason": ""}).status_code == 422
    answer = as_alice.post("/requests/new/", {**form, "reason": "Site is down"})
    grant = Grant.objects.get()
    assert grant.break_glass
    assert answer["Location"] == f"/grants/{grant.ref}/"
    assert "Review break-glass access" not in read(browser("bob"), "/")
    ref = f">{grant.request.ref}<"
    assert ref in read(as_alice, "/requests/?state=break_glass")
    assert ref not in read(as_alice, "/requests/?state=approved")
    as_alice.post(f"/grants/{grant.ref}/end/")
    assert "Review break-glass access" in read(browser("bob"), "/")


def test_a_review_that_is_overdue_leads_to_who_can_review_it(world, as_alice, as_bob):
    as_alice.post("/requests/new/", {**FORM, "kind": "break_glass", "reason": "Site is down", "send": "1"})
    grant = Grant.objects.get()
    as_alice.post(f"/grants/{grant.ref}/end/")
    Grant.objects.update(review_due_at=world.now)
    page = answered(
        as_alice.post("/requests/new/", {**FORM, "kind": "break_glass", "reason": "Again", "send": "1"}), 422
    )
    assert f"The review of {grant.ref}, which started without approval, is overdue." in page
    assert f'<a class="btn s" href="/grants/{grant.ref}/#review">See who can review {grant.ref}</a>' in page
    theirs = read(as_alice, f"/grants/{grant.ref}/")
    says(theirs, 'id="review"', "Bob or Dora can review it here")
    as_bob.post(f"/grants/{grant.ref}/review/", {"note": "Only a restart"})
    as_alice.post("/requests/new/", {**FORM, "kind": "break_glass", "reason": "Again", "send": "1"})
    assert Grant.objects.count() == 2


def test_withdrawing_takes_an_own_request_back(world, as_alice, as_bob):
    request = world.request()
    assert as_bob.post(f"/requests/{request.ref}/withdraw/").status_code == 404
    answer = as_alice.post(f"/requests/{request.ref}/withdraw/", {"next": "/"})
    assert answer["Location"] == "/"
    request.refresh_from_db()
    assert request.state == RequestState.WITHDRAWN
    assert "is already withdrawn" in answered(as_alice.post(f"/requests/{request.ref}/withdraw/"), 409)


def test_a_start_is_read_in_the_readers_zone():
    with timezone.override("Europe/Berlin"):
        assert parse_start("2026-11-28", "02:00").astimezone(dt.UTC).hour == 1
        assert parse_start("", "") is None
        with pytest.raises(InvalidInput, match="does not exist"):
            parse_start("2027-03-28", "02:30")
        with pytest.raises(InvalidInput, match="valid date and time"):
            parse_start("soon", "02:00")


def test_a_request_is_saved_under_a_name_and_started_from(world, as_alice, as_bob):
    form = {
        **FORM,
        "reason": "All of <this>",
        "ticket": "CHG-9",
        "target": ["web-2"],
        "save": "1",
        "bookmark": "Nightly",
    }
    answer = as_alice.post("/requests/new/", form)
    assert answer["Location"].startswith("/requests/new/?")
    draft = as_alice.get(answer["Location"]).context["ask"].draft
    assert (draft.cluster, draft.command_set, draft.seconds, draft.ticket) == (
        "web",
        "restart-web",
        3600,
        "CHG-9",
    )
    assert (draft.reason, draft.targets, draft.parameters) == ("All of <this>", ("web-2",), {"unit": "nginx"})
    assert "Nightly</a>" in read(as_alice, "/requests/new/")
    assert "Nightly</a>" not in read(as_bob, "/requests/new/")
    saved = world.alice.bookmarks.get()
    assert as_bob.post(f"/requests/saved/{saved.pk}/delete/").status_code == 404
    as_alice.post(f"/requests/saved/{saved.pk}/delete/")
    assert "Nightly</a>" not in read(as_alice, "/requests/new/")
    assert not AccessRequest.objects.exists()


def test_the_same_again_is_asked_for_only_by_those_who_may_see_it(world, as_alice, as_bob, as_charlie):
    request = world.request(starts_at=world.now + dt.timedelta(hours=3))
    draft = as_alice.get(f"/requests/new/?from={request.ref}").context["ask"].draft
    assert (draft.reason, draft.day) == ("Nightly restart", "")
    assert as_bob.get(f"/requests/new/?from={request.ref}").status_code == 200
    for ref in (request.ref, "REQ-999999", "REQ-x", "nonsense"):
        assert as_charlie.get(f"/requests/new/?from={ref}").status_code == 404


def test_an_incident_is_chosen_among_those_open_where_one_is_on_call(world, as_alice, browser):
    page = read(as_alice, "/requests/new/?kind=incident")
    assert "No open incidents on clusters you're on call for" in page
    incident = world.incident()
    ask = as_alice.get("/requests/new/?kind=incident").context["ask"]
    assert [one.ref for one in ask.incidents] == [incident.ref]
    assert ask.price == "no approval, up to 2 h"
    assert not ask.reason_required
    form = {
        **FORM,
        "kind": "incident",
        "incident": incident.ref,
        "reason": "",
        "day": "2030-01-01",
        "send": "1",
    }
    as_alice.post("/requests/new/", form)
    assert Grant.objects.get().workflow == incident
    assert 'value="incident"' not in read(browser("bob"), "/requests/new/")


def offered(page: str) -> list[str]:
    """What may be chosen in the field, but for nothing."""
    field = page.partition('name="incident">')[2].partition("</select>")[0]
    return re.findall(r'<option value="([^"]+)"', field)


def test_only_work_that_the_policy_takes_is_offered(world, as_alice):
    change, ticket = world.workflow("change"), world.workflow("ticket")
    assert offered(read(as_alice, "/requests/new/")) == [ticket.ref, change.ref]
    world.apply(acts.policy(world, workflow={"kinds": ["change", "incident"]}))
    assert offered(read(as_alice, "/requests/new/")) == [change.ref]
    p2, p1 = world.incident(), world.incident(severity="P1")
    world.apply(acts.policy(world, workflow={"kinds": ["incident"], "severity": ["P1"]}))
    page = read(as_alice, "/requests/new/")
    assert offered(page) == [p1.ref]
    assert p2.ref not in page
    world.apply(acts.policy(world, workflow={"kinds": ["incident"], "sources": ["pagerduty"]}))
    page = read(as_alice, "/requests/new/")
    assert offered(page) == []
    assert "Open one in pagerduty" in page


def test_work_that_fits_is_named_by_one_button(world, as_alice):
    world.workflow("ticket")
    change = world.workflow("change")
    world.apply(acts.policy(world, workflow={"kinds": ["change"]}))
    page = as_alice.post("/requests/preview/", FORM).content.decode()
    assert f'value="workflow={change.ref}">Link {change.ref}</button>' in page
    mended = as_alice.post("/requests/new/", {**FORM, "apply": f"workflow={change.ref}"})
    assert mended.context["ask"].draft.incident == change.ref
    assert mended.context["outcome"].preview.decision.outcome == "needs_approval"


@pytest.fixture
def pager(world):
    """A source that has one open incident, Q1, of which Stint has not heard."""
    with speaking_for() as adapter:
        adapter.workflows["Q1"] = is_open()
        acts.change(world, {"workflow-sources/pager.yaml": SOURCE})
        yield adapter


def test_work_that_is_not_read_yet_is_named_by_its_reference(world, as_alice, pager):
    form = read(as_alice, "/requests/new/")
    says(form, 'name="other_workflow" value=""', 'placeholder="pager:…"')
    typed = {**FORM, "other_workflow": " pager:Q1 "}
    for path in ("/requests/preview/", "/requests/new/"):
        page = as_alice.post(path, typed).content.decode()
        says(page, "pager:Q1 is checked when you submit", 'name="read" value="1">Check now</button>')
        assert "is not open" not in page
    assert pager.asked == []
    as_alice.post("/requests/new/", {**typed, "send": "1"})
    assert AccessRequest.objects.get().workflow.ref == "pager:Q1"
    assert pager.asked == ["Q1"]


def test_one_press_reads_it_and_says_what_will_happen(world, as_alice, pager):
    pressed = {**FORM, "other_workflow": "pager:Q1", "read": "1", "reason": "Kept", "ticket": "CHG-3"}
    answer = as_alice.post("/requests/new/", pressed)
    page = answer.content.decode()
    draft = answer.context["ask"].draft
    assert (draft.incident, draft.other_workflow, draft.reason, draft.ticket) == (
        "pager:Q1",
        "",
        "Kept",
        "CHG-3",
    )
    says(page, '<option value="pager:Q1" selected>', "Needs 1 approval")
    assert "pager:Q1 is open. Access ends when it is closed." in page
    assert not AccessRequest.objects.exists()
    assert as_alice.get("/requests/new/?workflow=pager:Q1&read=1").status_code == 200
    assert pager.asked == ["Q1"]


def test_what_its_source_does_not_say_is_open_is_refused_with_all_that_was_typed(world, as_alice, pager):
    pager.workflows["Q2"] = is_closed()
    for ref, told, sent in (
        ("pager:Q2", "reports the workflow as closed", 422),
        ("pager:Q3", "has no such open workflow", 422),
        ("pager:../x", "has no such work", 422),
        ("other:Q1", "Workflow not found", 422),
        ("TKT-999", "Workflow not found", 422),
    ):
        typed = {**FORM, "other_workflow": ref, "reason": "All of <this>"}
        answer = as_alice.post("/requests/new/", {**typed, "read": "1"})
        page = answer.content.decode()
        assert told in page, ref
        says(page, f'name="other_workflow" value="{ref}"', "All of &lt;this&gt;")
        answer = as_alice.post("/requests/new/", {**typed, "send": "1"})
        page = answer.content.decode()
        assert answer.status_code == sent, ref
        says(page, f'name="other_workflow" value="{ref}"', "All of &lt;this&gt;")
    assert not AccessRequest.objects.exists()


def test_nobody_has_a_source_asked_whose_clusters_they_do_not_see(world, as_charlie, browser, pager):
    answer = as_charlie.post("/requests/new/", {**FORM, "other_workflow": "pager:Q1", "read": "1"})
    assert answer.status_code == 404
    assert pager.asked == []
    assert not Workflow.objects.exists()


def test_who_is_on_call_names_an_incident_that_is_not_read_yet(world, as_alice, pager):
    form = {**FORM, "kind": "incident", "other_workflow": "pager:Q1"}
    assert "pager:Q1 is checked when you submit" in as_alice.post("/requests/preview/", form).content.decode()
    linked = read(as_alice, "/requests/new/?kind=incident&workflow=pager:Q1")
    assert 'name="other_workflow" value="pager:Q1"' in linked
    world.incident()
    assert "pager:Q1 is checked when you submit" in as_alice.post("/requests/preview/", form).content.decode()
    as_alice.post("/requests/new/", {**form, "send": "1"})
    assert Grant.objects.get().workflow.ref == "pager:Q1"


def test_what_was_closed_and_may_be_open_again_is_read_again(world, as_alice, pager):
    as_alice.post("/requests/new/", {**FORM, "other_workflow": "pager:Q1", "send": "1"})
    pager.workflows["Q1"] = is_closed()
    page = as_alice.post("/requests/new/", {**FORM, "other_workflow": "pager:Q1", "read": "1"})
    assert "pager:Q1 is closed" in page.content.decode()
    pager.workflows["Q1"] = is_open()
    as_alice.post("/requests/new/", {**FORM, "other_workflow": "pager:Q1", "send": "1"})
    assert AccessRequest.objects.latest("pk").workflow.ref == "pager:Q1~2"
