"""Asking for access in the pages."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.http import QueryDict
from django.utils import timezone

from broker.kernel.errors import InvalidInput
from sessions_app.models import AccessRequest, Grant, RequestState, Sweeper, Workflow
from sessions_app.web.shell.forms import draft_of_form, draft_of_link, parse_start
from tests.support.world import acts
from tests.support.world.sources import SOURCE, is_closed, is_open, speaking_for

FORM = {
    "kind": "planned", "cluster": "web", "command_set": "restart-web", "duration": "1h", "reason": "Nightly restart",
    "p.unit": "nginx", "targets_of": "web", "target": ["web-1", "web-2"],
}  # fmt: skip


def test_the_form_offers_only_what_one_may_ask_for(as_alice, as_charlie):
    page = as_alice.get("/requests/new/").content.decode()
    assert 'value="restart-web"' in page
    assert "1 approval, up to 4 h" in page
    assert "You can't request access to any cluster yet" in as_charlie.get("/requests/new/").content.decode()


def test_sending_asks_and_tells_who_decides(world, as_alice):
    answer = as_alice.post("/requests/new/", {**FORM, "send": "1", "ticket": "CHG-1"}, follow=True)
    request = AccessRequest.objects.get()
    assert answer.redirect_chain == [(f"/requests/{request.ref}/", 302)]
    assert (request.requester, request.duration, request.ticket) == (world.alice, 3600, "CHG-1")
    assert request.parameters == {"unit": "nginx"}
    assert len(request.targets) == 2
    page = answer.content.decode()
    assert "Its approvers have been notified" in page
    assert "Bob, Dora" in page


def test_without_a_send_the_form_only_says_what_would_happen(as_alice):
    page = as_alice.post("/requests/new/", {**FORM, "update": "1"}).content.decode()
    assert "Needs 1 approval" in page
    assert "Submit to 2 approvers" in page
    assert not AccessRequest.objects.exists()


def test_the_panel_is_the_answer_of_the_same_evaluator_and_changes_nothing(as_alice, now):
    panel = as_alice.post(
        "/requests/preview/", {**FORM, "duration": "10h"}, headers={"HX-Request": "true"}
    ).content.decode()
    assert panel.lstrip().startswith('<section class="card" id="outcome"')
    assert "10 h exceeds the limit of 4 h" in panel
    assert 'name="apply" value="duration=14400"' in panel
    Sweeper.objects.update(seen_at=now - dt.timedelta(minutes=2))
    stopped = as_alice.post("/requests/preview/", FORM).content.decode()
    assert "No process that ends access has run for 30 seconds" in stopped
    assert not AccessRequest.objects.exists()


def test_choosing_another_set_brings_its_fields_and_choosing_none_leaves_them(as_alice):
    changed = as_alice.post("/requests/preview/", {**FORM, "shown_set": "other"}).content.decode()
    assert 'id="fields" class="stack" hx-swap-oob="true"' in changed
    shown = {"shown_kind": "planned", "shown_cluster": "web", "shown_set": "restart-web"}
    assert 'id="fields"' not in as_alice.post("/requests/preview/", {**FORM, **shown}).content.decode()


def test_the_fix_of_a_refusal_is_one_button_and_keeps_what_was_typed(as_alice):
    page = as_alice.post(
        "/requests/new/", {**FORM, "duration": "10h", "apply": "duration=14400", "reason": "Kept"}
    )
    assert page.context["ask"].draft.duration == "4h"
    assert page.context["ask"].draft.reason == "Kept"
    assert page.context["outcome"].preview.decision.outcome == "needs_approval"


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
    assert "10 h exceeds the limit of 4 h" in page
    assert 'value="CHG-77"' in page
    assert "All of &lt;this&gt;" in page
    assert [name.name for name, chosen in answer.context["ask"].target_choices if chosen] == ["web-2"]
    assert not AccessRequest.objects.exists()


def test_a_duration_that_is_none_is_answered_beside_the_form(as_alice):
    answer = as_alice.post("/requests/new/", {**FORM, "send": "1", "other_duration": "soon"})
    assert answer.status_code == 400
    assert "Enter a duration" in answer.content.decode()


def test_no_target_chosen_is_no_target(as_alice):
    form = {name: value for name, value in FORM.items() if name != "target"}
    answer = as_alice.post("/requests/new/", {**form, "send": "1"})
    assert answer.status_code == 422
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


def test_what_needs_no_approval_leads_to_the_grant(world, as_alice):
    world.apply(acts.policy(world, approvals="none"))
    answer = as_alice.post("/requests/new/", {**FORM, "send": "1"})
    assert answer["Location"] == f"/grants/{Grant.objects.get().ref}/"


def test_breaking_the_glass_starts_at_once_with_a_reason(as_alice, browser):
    form = {**FORM, "kind": "break_glass", "send": "1"}
    assert as_alice.post("/requests/new/", {**form, "reason": ""}).status_code == 422
    answer = as_alice.post("/requests/new/", {**form, "reason": "Site is down"})
    grant = Grant.objects.get()
    assert grant.break_glass
    assert answer["Location"] == f"/grants/{grant.ref}/"
    assert "Review break-glass access" not in browser("bob").get("/").content.decode()
    as_alice.post(f"/grants/{grant.ref}/end/")
    assert "Review break-glass access" in browser("bob").get("/").content.decode()


def test_a_review_that_is_overdue_leads_to_who_can_review_it(world, as_alice, as_bob):
    as_alice.post("/requests/new/", {**FORM, "kind": "break_glass", "reason": "Site is down", "send": "1"})
    grant = Grant.objects.get()
    as_alice.post(f"/grants/{grant.ref}/end/")
    Grant.objects.update(review_due_at=world.now)
    answer = as_alice.post("/requests/new/", {**FORM, "kind": "break_glass", "reason": "Again", "send": "1"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f"The review of {grant.ref}, which started without approval, is overdue." in page
    assert f'<a class="btn s" href="/grants/{grant.ref}/#review">See who can review {grant.ref}</a>' in page
    theirs = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert 'id="review"' in theirs
    assert "Bob or Dora can review it here" in theirs
    as_bob.post(f"/grants/{grant.ref}/review/", {"note": "Only a restart"})
    as_alice.post("/requests/new/", {**FORM, "kind": "break_glass", "reason": "Again", "send": "1"})
    assert Grant.objects.count() == 2


def test_a_review_of_what_one_did_in_another_guise_is_named_without_a_link_that_leads_nowhere(world, browser):
    world.charlie.email = "Alice@example.com"
    world.charlie.save(update_fields=["email"])
    world.apply({"groups/on-call.yaml": "name: on-call\nmembers: [alice, charlie]\n",
                 "groups/operators.yaml": "name: operators\nmembers: [alice, charlie]\n"})  # fmt: skip
    form = {**FORM, "kind": "break_glass", "reason": "Site is down"}
    browser("alice").post("/requests/new/", {**form, "send": "1"})
    grant = Grant.objects.get()
    Grant.objects.update(review_due_at=world.now)
    page = browser("charlie").post("/requests/new/", form).content.decode()
    assert f"The review of {grant.ref}, which started without approval" in page
    assert f"/grants/{grant.ref}/" not in page


def test_the_break_glass_button_is_shown_to_those_who_may(as_alice, as_bob):
    assert "Break glass" in as_alice.get("/").content.decode()
    assert "Break glass" not in as_bob.get("/").content.decode()


def test_withdrawing_takes_an_own_request_back(world, as_alice, as_bob):
    request = world.request()
    assert as_bob.post(f"/requests/{request.ref}/withdraw/").status_code == 404
    answer = as_alice.post(f"/requests/{request.ref}/withdraw/", {"next": "/"})
    assert answer["Location"] == "/"
    request.refresh_from_db()
    assert request.state == RequestState.WITHDRAWN
    again = as_alice.post(f"/requests/{request.ref}/withdraw/")
    assert again.status_code == 409
    assert "is already withdrawn" in again.content.decode()


def test_an_act_goes_back_to_our_own_pages_only(world, as_alice):
    request = world.request()
    answer = as_alice.post(f"/requests/{request.ref}/withdraw/", {"next": "//evil.example/"})
    assert answer["Location"] == f"/requests/{request.ref}/"


def test_a_start_is_read_in_the_readers_zone():
    with timezone.override("Europe/Berlin"):
        assert parse_start("2026-11-28", "02:00").astimezone(dt.UTC).hour == 1
        assert parse_start("", "") is None
        with pytest.raises(InvalidInput, match="does not exist"):
            parse_start("2027-03-28", "02:30")
        with pytest.raises(InvalidInput, match="valid date and time"):
            parse_start("soon", "02:00")


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [({"day": "2026-12-01"}, "hour", "Add the time."), ({"hour": "02:00"}, "day", "Add the date.")],
)
def test_a_date_without_a_time_asks_for_one_and_a_time_for_its_date(as_alice, typed, field, said):
    answer = as_alice.post("/requests/new/", {**FORM, **typed, "send": "1"})
    assert answer.status_code == 400
    assert answer.context["error"].fields == {field: [said]}
    assert said in answer.content.decode()
    assert not AccessRequest.objects.exists()


def test_targets_of_another_cluster_are_not_carried_over():
    form = QueryDict("cluster=db&targets_of=web&target=web-1")
    assert draft_of_form(form).targets is None
    assert draft_of_link(QueryDict("")).targets is None


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
    assert "Nightly</a>" in as_alice.get("/requests/new/").content.decode()
    assert "Nightly</a>" not in as_bob.get("/requests/new/").content.decode()
    saved = world.alice.bookmarks.get()
    assert as_bob.post(f"/requests/saved/{saved.pk}/delete/").status_code == 404
    as_alice.post(f"/requests/saved/{saved.pk}/delete/")
    assert "Nightly</a>" not in as_alice.get("/requests/new/").content.decode()
    assert not AccessRequest.objects.exists()


def test_a_save_without_a_name_keeps_the_form(as_alice):
    answer = as_alice.post("/requests/new/", {**FORM, "save": "1", "bookmark": " ", "ticket": "CHG-9"})
    assert answer.status_code == 400
    assert "A name is required" in answer.content.decode()
    assert answer.context["ask"].draft.ticket == "CHG-9"


def test_the_same_again_is_asked_for_only_by_those_who_may_see_it(world, as_alice, as_bob, as_charlie):
    request = world.request(starts_at=world.now + dt.timedelta(hours=3))
    draft = as_alice.get(f"/requests/new/?from={request.ref}").context["ask"].draft
    assert (draft.reason, draft.day) == ("Nightly restart", "")
    assert as_bob.get(f"/requests/new/?from={request.ref}").status_code == 200
    for ref in (request.ref, "REQ-999999", "REQ-x", "nonsense"):
        assert as_charlie.get(f"/requests/new/?from={ref}").status_code == 404


def test_an_incident_is_chosen_among_those_open_where_one_is_on_call(world, as_alice, browser):
    page = as_alice.get("/requests/new/?kind=incident").content.decode()
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
    assert 'value="incident"' not in browser("bob").get("/requests/new/").content.decode()


def test_an_incident_that_was_closed_while_the_form_was_filled_gives_nothing(world, as_alice):
    from sessions_app.operations.workflows.close_workflow import close_workflow

    incident = world.incident()
    close_workflow(workflow_id=incident.pk, actor=world.bob, now=world.now)
    answer = as_alice.post(
        "/requests/new/", {**FORM, "kind": "incident", "incident": incident.ref, "send": "1"}
    )
    assert answer.status_code == 422
    assert "is not an open incident" in answer.content.decode()
    assert not Grant.objects.exists()


def test_who_else_is_there_is_said_with_a_later_start_as_a_button(world, browser):
    viewers = world.catalogue["policies/web-work.yaml"] + "viewers: {identities: [dora]}\n"
    world.apply(
        {
            "policies/web-work.yaml": viewers,
            "groups/operators.yaml": "name: operators\nmembers: [alice, dora]\n",
        }
    )
    grant = world.grant()
    start = timezone.localtime(world.now + dt.timedelta(minutes=30))
    form = {**FORM, "day": f"{start:%Y-%m-%d}", "hour": f"{start:%H:%M}"}
    page = browser("dora").post("/requests/preview/", form).content.decode()
    assert "Alice has access to web then" in page
    assert f'name="apply" value="starts_at={grant.expires_at.isoformat()}"' in page
    assert "approvers will see the overlap" in page


def test_the_usual_time_of_a_decision_is_said_once_there_were_some(world, as_alice):
    assert "Usually" not in as_alice.post("/requests/preview/", FORM).content.decode()
    for minutes in (4, 22, 90):
        world.decide(world.request(), now=acts.awake(world.now + dt.timedelta(minutes=minutes)))
    assert "Usually takes 22 min" in as_alice.post("/requests/preview/", FORM).content.decode()


def test_a_double_click_on_send_asks_once(world, as_alice):
    form = {
        "kind": "planned", "cluster": "web", "command_set": "restart-web", "duration": "1h", "reason": "Patch",
        "p.unit": "nginx", "send": "1", "once": "abc",
    }  # fmt: skip
    first, second = (as_alice.post("/requests/new/", form)["Location"] for _ in range(2))
    assert first == second
    page = as_alice.get("/requests/new/")
    names = re.findall(r'name="once" value="([^"]+)"', page.content.decode())
    assert len(names) == 1
    assert names != re.findall(
        r'name="once" value="([^"]+)"', as_alice.get("/requests/new/").content.decode()
    )


# For which work


def offered(page: str) -> list[str]:
    """What may be chosen in the field, but for nothing."""
    field = page.partition('name="incident">')[2].partition("</select>")[0]
    return re.findall(r'<option value="([^"]+)"', field)


def test_only_work_that_the_policy_takes_is_offered(world, as_alice):
    change, ticket = world.workflow("change"), world.workflow("ticket")
    assert offered(as_alice.get("/requests/new/").content.decode()) == [ticket.ref, change.ref]
    world.apply(acts.policy(world, workflow={"kinds": ["change", "incident"]}))
    assert offered(as_alice.get("/requests/new/").content.decode()) == [change.ref]
    p2, p1 = world.incident(), world.incident(severity="P1")
    world.apply(acts.policy(world, workflow={"kinds": ["incident"], "severity": ["P1"]}))
    page = as_alice.get("/requests/new/").content.decode()
    assert offered(page) == [p1.ref]
    assert p2.ref not in page
    world.apply(acts.policy(world, workflow={"kinds": ["incident"], "sources": ["pagerduty"]}))
    page = as_alice.get("/requests/new/").content.decode()
    assert offered(page) == []
    assert "Open it in pagerduty" in page


def test_where_none_is_open_one_link_opens_it(world, as_alice):
    world.workflow("ticket")
    world.apply(acts.policy(world, workflow={"kinds": ["change", "pipeline"]}))
    page = as_alice.get("/requests/new/").content.decode()
    assert "Nothing suitable is open on web." in page
    assert '<a href="/workflows/?kind=change#open">Open a change</a>' in page
    assert "kind=pipeline" not in page
    assert as_alice.get("/workflows/?kind=change").context["chosen"] == "change"
    world.workflow("change")
    assert "Nothing suitable is open on web" not in as_alice.get("/requests/new/").content.decode()


def test_where_one_policy_takes_any_work_none_has_to_be_named(world, as_alice):
    ticket = world.workflow("ticket")
    world.apply({
        **acts.policy(world, workflow={"kinds": ["change"]}),
        "policies/free.yaml": acts.policy(world, name="free")["policies/web-work.yaml"],
    })  # fmt: skip
    answer = as_alice.get("/requests/new/")
    assert offered(answer.content.decode()) == [ticket.ref]
    assert not answer.context["ask"].workflow_needed


def test_work_that_fits_is_named_by_one_button(world, as_alice):
    world.workflow("ticket")
    change = world.workflow("change")
    world.apply(acts.policy(world, workflow={"kinds": ["change"]}))
    page = as_alice.post("/requests/preview/", FORM).content.decode()
    assert f'value="workflow={change.ref}">Link {change.ref}</button>' in page
    mended = as_alice.post("/requests/new/", {**FORM, "apply": f"workflow={change.ref}"})
    assert mended.context["ask"].draft.incident == change.ref
    assert mended.context["outcome"].preview.decision.outcome == "needs_approval"


def test_the_latest_start_that_the_policy_allows_is_one_button(world, as_alice):
    world.apply(acts.policy(world, max_horizon="1d"))
    far = timezone.localtime(world.now + dt.timedelta(days=3))
    form = {**FORM, "day": f"{far:%Y-%m-%d}", "hour": f"{far:%H:%M}"}
    page = as_alice.post("/requests/preview/", form).content.decode()
    (offer,) = re.findall(r'value="(starts_at=[^"]+)"', page)
    mended = as_alice.post("/requests/new/", {**form, "apply": offer})
    assert mended.context["outcome"].preview.decision.outcome == "needs_approval"


# Work of a source that is not read yet


@pytest.fixture
def pager(world):
    """A source that has one open incident, Q1, of which Stint has not heard."""
    with speaking_for() as adapter:
        adapter.workflows["Q1"] = is_open()
        acts.change(world, {"workflow-sources/pager.yaml": SOURCE})
        yield adapter


def test_work_that_is_not_read_yet_is_named_by_its_reference(world, as_alice, pager):
    form = as_alice.get("/requests/new/").content.decode()
    assert 'name="other_workflow" value=""' in form
    assert 'placeholder="pager:…"' in form
    typed = {**FORM, "other_workflow": " pager:Q1 "}
    for path in ("/requests/preview/", "/requests/new/"):
        page = as_alice.post(path, typed).content.decode()
        assert "pager:Q1 is checked when you submit" in page
        assert 'name="read" value="1">Check now</button>' in page
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
    assert '<option value="pager:Q1" selected>' in page
    assert "Needs 1 approval" in page
    assert "pager:Q1 is open. Access ends when it is closed." in page
    assert not AccessRequest.objects.exists()
    assert as_alice.get("/requests/new/?workflow=pager:Q1&read=1").status_code == 200
    assert pager.asked == ["Q1"]


def test_what_its_source_does_not_say_is_open_is_refused_with_all_that_was_typed(world, as_alice, pager):
    pager.workflows["Q2"] = is_closed()
    for ref, read, sent in (("pager:Q2", "reports it as closed", 422), ("pager:Q3", "has no such open workflow", 422),
                            ("pager:../x", "has no such work", 422), ("other:Q1", "Workflow not found", 422),
                            ("TKT-999", "Workflow not found", 422)):  # fmt: skip
        typed = {**FORM, "other_workflow": ref, "reason": "All of <this>"}
        answer = as_alice.post("/requests/new/", {**typed, "read": "1"})
        page = answer.content.decode()
        assert read in page, ref
        assert f'name="other_workflow" value="{ref}"' in page
        assert "All of &lt;this&gt;" in page
        answer = as_alice.post("/requests/new/", {**typed, "send": "1"})
        page = answer.content.decode()
        assert answer.status_code == sent, ref
        assert f'name="other_workflow" value="{ref}"' in page
        assert "All of &lt;this&gt;" in page
    assert not AccessRequest.objects.exists()


def test_a_source_that_does_not_answer_is_said_and_nothing_is_lost(world, as_alice, pager):
    pager.down = True
    for act in ("read", "send"):
        answer = as_alice.post("/requests/new/", {**FORM, "other_workflow": "pager:Q1", act: "1"})
        page = answer.content.decode()
        assert answer.status_code == 503
        assert "pager does not report the status of Q1." in page
        assert "It does not answer." in page
        assert 'name="other_workflow" value="pager:Q1"' in page


def test_who_is_on_call_names_an_incident_that_is_not_read_yet(world, as_alice, pager):
    form = {**FORM, "kind": "incident", "other_workflow": "pager:Q1"}
    page = as_alice.post("/requests/preview/", form).content.decode()
    assert "pager:Q1 is checked when you submit" in page
    linked = as_alice.get("/requests/new/?kind=incident&workflow=pager:Q1").content.decode()
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


def test_nobody_has_a_source_asked_whose_clusters_they_do_not_see(world, as_charlie, browser, pager):
    answer = as_charlie.post("/requests/new/", {**FORM, "other_workflow": "pager:Q1", "read": "1"})
    assert answer.status_code == 404
    assert pager.asked == []
    assert not Workflow.objects.exists()


LOOKS = """
name: looks
clusters: [web]
command_sets: [triage]
requesters: {groups: [operators]}
approvals: none
max_duration: 1h
"""


def test_labels_follow_the_choice(world, as_alice):
    ticketed = acts.policy(world, ticket="CHG-[0-9]+", reason="required")
    world.apply({"command-sets/triage.yaml": acts.TRIAGE, "policies/looks.yaml": LOOKS, **ticketed})
    optional = '<span class="muted" id="ticket-optional"{}>(optional)</span>'
    page = as_alice.get("/requests/new/?cluster=web&set=restart-web").content.decode()
    assert "(optional)" not in page
    assert "(if it helps)" not in page
    assert optional.format("") in as_alice.get("/requests/new/?cluster=web&set=triage").content.decode()
    chosen = as_alice.post("/requests/preview/", {**FORM, "command_set": "triage"}).content.decode()
    assert optional.format(' hx-swap-oob="true"') in chosen
    assert "(optional)" not in as_alice.post("/requests/preview/", FORM).content.decode()


def test_the_button_says_when_what_needs_no_approval_begins(world, as_alice, now):
    world.apply({"command-sets/triage.yaml": acts.TRIAGE, "policies/looks.yaml": LOOKS})
    form = {**FORM, "command_set": "triage"}
    assert "Start access</button>" in as_alice.post("/requests/new/", form).content.decode().replace("\n", "")
    later = timezone.localtime(now + dt.timedelta(days=3))
    form |= {"day": f"{later:%Y-%m-%d}", "hour": "09:00"}
    page = as_alice.post("/requests/new/", form).content.decode()
    assert "Start access" not in page
    assert re.search(r"Schedule for <time [^>]*>[^<]*09:00[^<]*</time>", page)
