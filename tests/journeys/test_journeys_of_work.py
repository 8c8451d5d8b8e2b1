"""Work from end to end in a real browser: plan and approve, an incident at night, questions, changes, break-glass access."""

from __future__ import annotations

import datetime as dt

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.screens import PHONE
from tests.support.browser.site import settle
from tests.support.world import acts


@pytest.fixture
def alice(live_world, visit) -> Page:
    acts.change(live_world, acts.with_triage(live_world))
    return visit("alice")


@pytest.fixture
def bob(visit) -> Page:
    return visit("bob", PHONE, has_touch=True)


def started(ref: str):
    """What the worker does: start a grant."""
    from broker.kernel import clock
    from sessions_app.models import Grant
    from sessions_app.operations.grants.provision_grant import provision_grant

    return provision_grant(grant_id=Grant.objects.get(ref=ref).pk, now=clock.now())


def decide(page: Page, ref: str) -> None:
    page.goto("/")
    page.get_by_role("link", name=f"Decide {ref}").click()
    expect(page.locator(".crumb")).to_contain_text(ref)


def test_a_window_is_planned_at_a_desk_and_approved_on_a_phone_and_asked_for_again_in_two_clicks(
    live_world, alice, bob
):
    from sessions_app.models import AccessRequest, Grant

    start = live_world.now + dt.timedelta(hours=6)
    alice.get_by_role("link", name="Request access").first.click()
    alice.locator("label.choice", has_text="restart-web").click()
    alice.locator(".seg label", has_text="nginx").click()
    alice.get_by_label("Date").fill(f"{start:%Y-%m-%d}")
    alice.get_by_label("Time", exact=True).fill(f"{start:%H:%M}")
    alice.locator(".seg label", has_text="4 h").click()
    alice.get_by_label("Ticket").fill("CHG-2291")
    alice.get_by_label("Reason").fill("Kernel patch needs a restart")
    outcome = alice.locator("#outcome")
    expect(outcome).to_contain_text("Needs 1 approval")
    expect(outcome).not_to_contain_text("A reason is required")
    settle(alice)
    outcome.get_by_role("button", name="Submit to 2 approvers").click()
    expect(alice.locator("h1")).to_contain_text("You requested restart-web on web")
    request = AccessRequest.objects.get()

    decide(bob, request.ref)
    expect(bob.locator("h1")).to_contain_text("Alice requests restart-web on web")
    expect(bob.locator("main")).to_contain_text("Kernel patch needs a restart")
    bob.locator(".decide").get_by_role("button", name="Approve").click()
    expect(bob.locator(".messages")).to_contain_text("approved")
    grant = Grant.objects.get()
    assert (grant.state, grant.starts_at.minute) == ("scheduled", start.minute)

    alice.goto("/")
    alice.get_by_role("link", name="restart-web on web, 4 h").click()
    alice.locator("#outcome").get_by_role("button", name="Submit to 2 approvers").click()
    expect(alice.locator("h1")).to_contain_text("You requested restart-web on web")
    assert AccessRequest.objects.count() == 2


def test_at_three_in_the_morning_one_button_gives_access_that_ends_with_the_incident(live_world, alice, bob):
    from sessions_app.models import Grant

    bob.goto("/incidents/")
    bob.get_by_label("What's wrong").fill("Checkout is <slow>")
    bob.locator(".seg label", has_text="P1").click()
    bob.locator("label.tick", has_text="web").locator("input").check()
    bob.get_by_role("button", name="Open incident").click()
    expect(bob.locator("h1")).to_contain_text("Checkout is <slow>")
    incident = bob.locator(".crumb span").inner_text()

    alice.reload()
    expect(alice.locator(".glassbox")).to_contain_text(f"{incident} is open and you are on call")
    alice.get_by_role("button", name=f"Get incident access for {incident}").click()
    expect(alice.locator(".messages").first).to_contain_text("It ends when the incident closes")
    grant = started(Grant.objects.get().ref)
    assert grant.state == "active"

    bob.reload()
    expect(bob.locator("main")).to_contain_text("Alice")
    bob.locator("summary", has_text="Close").click()
    expect(bob.locator(".pop")).to_contain_text("1 grant held by 1 person ends immediately")
    bob.get_by_label("Resolution").fill("Restarted the cache")
    bob.get_by_role("button", name=f"Close {incident}").click()
    expect(bob.locator(".messages").first).to_contain_text("is closed")
    expect(bob.locator("main")).to_contain_text("Restarted the cache")
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == ("revoking", "workflow_closed")
    alice.goto(f"/grants/{grant.ref}/")
    expect(alice.locator("main")).to_contain_text("orkflow closed")


def test_a_question_is_answered_and_then_it_is_denied_with_a_reason(live_world, alice, bob):
    request = live_world.request()
    decide(bob, request.ref)
    bob.get_by_label("Ask Alice").fill("Which host <first>?")
    bob.get_by_role("button", name="Send question").click()
    expect(bob.locator(".thread")).to_contain_text("Which host <first>?")
    assert bob.url.endswith(f"/approvals/{request.ref}/#thread")

    alice.goto(f"/requests/{request.ref}/")
    expect(alice.locator(".thread")).to_contain_text("Which host <first>?")
    alice.get_by_role("textbox", name="Answer").fill("web-1")
    alice.get_by_role("button", name="Send answer").click()
    expect(alice.locator(".thread")).to_contain_text("web-1")

    bob.reload()
    expect(bob.locator(".thread")).to_contain_text("web-1")
    bob.locator(".decide").get_by_role("button", name="Deny").click()
    expect(bob.locator("main")).to_contain_text("A comment is required to deny a request")
    bob.get_by_label("Comment").fill("Not before the backup")
    bob.locator(".decide").get_by_role("button", name="Deny").click()
    expect(bob.locator(".messages")).to_contain_text("denied")
    alice.reload()
    expect(alice.locator("main")).to_contain_text("Not before the backup")


def test_an_approver_leaves_less_of_it_and_another_who_read_the_whole_is_told_and_decides_on_that(
    live_world, alice, visit
):
    from sessions_app.models import Grant

    acts.change(live_world, acts.policy(live_world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = live_world.request(duration=14400)
    # Without a script his page stays as he read it.
    bob = visit("bob", PHONE, java_script_enabled=False)
    decide(bob, request.ref)
    dora = visit("dora")
    decide(dora, request.ref)
    dora.locator(".seg label", has_text="1 h").click()
    dora.get_by_text("Exclude commands", exact=True).first.click()
    dora.locator("label.tick", has_text="echo stop nginx").locator("input").check()
    dora.locator("aside").get_by_role("button", name="Approve").click()
    expect(dora.locator(".messages")).to_contain_text("It needs another approval")

    bob.locator(".decide").get_by_role("button", name="Approve").click()
    changed = bob.get_by_role("alert")
    expect(changed).to_contain_text("This changed while you were reading it.")
    expect(changed).to_contain_text("1 h of 4 h remain.")
    assert not Grant.objects.exists()
    bob.locator(".decide").get_by_role("button", name="Approve").click()
    expect(bob.locator(".messages")).to_contain_text("approved")
    grant = Grant.objects.get()
    assert (grant.commands, (grant.expires_at - grant.starts_at).total_seconds()) == ([0, 1, 3, 4], 3600)


def test_what_changed_behind_it_while_it_was_read_is_said_and_nothing_counts(live_world, alice, bob):
    from sessions_app.models import Approval, Target

    request = live_world.request()
    decide(bob, request.ref)
    Target.objects.filter(name="web-1").update(address="10.9.9.9")
    bob.locator(".decide").get_by_role("button", name="Approve").click()
    changed = bob.get_by_role("alert").first
    expect(changed).to_contain_text("This changed while you were reading it.")
    expect(changed).to_contain_text("web-1 is now root@10.9.9.9:2201; it was root@127.0.0.1:2201.")
    assert not Approval.objects.exists()


def test_the_glass_is_broken_and_somebody_else_reviews_it(live_world, alice, bob):
    from sessions_app.models import Grant

    alice.get_by_role("link", name="Break glass").click()
    alice.locator("label.choice", has_text="triage").click()
    alice.get_by_label("Reason").fill("The site is down")
    expect(alice.locator("#outcome")).to_contain_text("All approvers are notified")
    settle(alice)
    alice.locator("#outcome").get_by_role("button", name="Break glass and start now").click()
    expect(alice.locator("h1")).to_contain_text("access to web")
    grant = started(Grant.objects.get().ref)
    alice.reload()
    alice.locator("summary", has_text="End access").click()
    alice.get_by_role("button", name=f"End {grant.ref}").click()
    expect(alice.locator("main")).to_contain_text("nded by Alice")

    bob.goto("/approvals/?show=reviews")
    bob.get_by_role("link", name=f"Review {grant.ref}").click()
    expect(bob.locator("main")).to_contain_text("The site is down")
    grant.refresh_from_db()
    assert grant.break_glass
    assert grant.end_reason == "released"
    bob.get_by_label("Findings").fill("One look at the disk, nothing else")
    bob.get_by_role("button", name="Mark as reviewed").click()
    expect(bob.locator(".pill", has_text="Reviewed by Bob")).to_be_visible()
    expect(bob.locator("main")).to_contain_text("One look at the disk, nothing else")
    grant.refresh_from_db()
    assert str(grant.reviewed_by) == "Bob"


def test_asking_for_an_incident_and_talking_work_without_a_script(live_world, visit):
    from sessions_app.models import Grant

    incident = live_world.incident()
    alice = visit("alice", java_script_enabled=False)
    alice.get_by_role("link", name=f"Get incident access for {incident.ref}").click()
    alice.locator(".seg label", has_text="nginx").click()
    alice.get_by_role("button", name="Preview").click()
    expect(alice.locator("#outcome")).to_contain_text(f"ends with {incident.ref}")
    alice.locator("#outcome").get_by_role("button", name="Start access").click()
    expect(alice.locator(".messages").first).to_contain_text("Your access is starting")
    assert Grant.objects.get().workflow == incident
    request = live_world.request()
    bob = visit("bob", java_script_enabled=False)
    bob.goto(f"/approvals/{request.ref}/")
    bob.get_by_label("Ask Alice").fill("Why today?")
    bob.get_by_role("button", name="Send question").click()
    expect(bob.locator(".thread")).to_contain_text("Why today?")
