"""The pages in a real browser: request, decide, use and end, on a desktop and on a phone, with and without
JavaScript.
"""

import pytest
from playwright.sync_api import expect

from broker.kernel import clock
from sessions_app.models import AccessRequest, Grant
from sessions_app.operations.grants.provision_grant import provision_grant
from tests.support.browser.screens import PHONE
from tests.support.browser.site import settle, sign_in
from tests.support.world import acts

# Clicks a button twice; returns which of the clicks would submit the form.
TWICE = """() => {
  const sends = [];
  addEventListener('submit', event => { sends.push(!event.defaultPrevented); event.preventDefault(); });
  const button = document.querySelector('#thread button');
  button.click();
  button.click();
  return sends;
}"""


def _start(world):
    """Start the newest grant, as the worker does."""
    return provision_grant(grant_id=Grant.objects.latest("pk").pk, now=clock.now())


@pytest.mark.smoke
def test_ask_at_a_desk_approve_on_a_phone_use_and_kill(live_world, visit):
    alice = visit("alice")
    alice.get_by_role("link", name="Request access").first.click()
    panel = alice.locator("#outcome")
    expect(panel.get_by_role("link", name="unit")).to_be_visible()
    alice.locator(".seg label", has_text="nginx").click()
    expect(panel).to_contain_text("Needs 1 approval")
    panel.get_by_role("link", name="A reason").click()
    expect(alice.get_by_label("Reason")).to_be_focused()
    alice.keyboard.type("Certificate renewal")
    expect(panel).not_to_contain_text("Still needed")
    alice.get_by_label("Custom duration").fill("9h")
    expect(panel).to_contain_text("9 h exceeds the limit of 4 h")
    settle(alice)
    panel.get_by_role("button", name="Change to 4 h").click()
    expect(alice.get_by_label("Reason")).to_have_value("Certificate renewal")
    alice.locator("#outcome").get_by_role("button", name="Submit to 2 approvers").click()
    expect(alice.locator("h1")).to_contain_text("You requested restart-web on web")

    bob = visit("bob", PHONE, has_touch=True)
    bob.get_by_role("link", name="Decide").click()
    expect(bob.locator("h1")).to_contain_text("Alice requests restart-web on web for 4 h")
    bob.get_by_role("button", name="Approve").click()
    expect(bob.locator(".messages")).to_contain_text("approved")

    grant = _start(live_world)
    alice.goto(f"/grants/{grant.ref}/")
    left = alice.locator(".clockbox [data-left]")
    expect(left).not_to_have_text(left.inner_text())
    moment = clock.now()
    used = acts.use(grant, now=moment)
    acts.run(used, acts.session(used, now=moment), "echo restart sshd", now=moment)
    expect(alice.locator("#log")).to_contain_text("echo restart sshd")
    expect(alice.locator("#log")).to_contain_text("Nothing reached the target")

    alice.locator("summary", has_text="End access").click()
    alice.get_by_role("button", name=f"End {grant.ref}").click()
    expect(alice.locator("h2", has_text="Receipt")).to_be_visible()
    expect(alice.locator("main")).to_contain_text("Ended by Alice")


@pytest.mark.smoke
def test_all_that_decides_or_ends_works_without_a_script(live_world, visit):
    alice = visit("alice", java_script_enabled=False)
    alice.goto("/requests/new/")
    alice.locator(".seg label", has_text="haproxy").click()
    alice.get_by_label("Reason").fill("Look at it")
    alice.get_by_role("button", name="Preview").click()
    expect(alice.locator("#outcome")).to_contain_text("Needs 1 approval")
    alice.locator("#outcome").get_by_role("button", name="Submit to 2 approvers").click()
    bob = visit("bob", java_script_enabled=False)
    bob.get_by_role("link", name="Decide").click()
    bob.get_by_role("button", name="Reduce").click()
    bob.get_by_text("Exclude commands", exact=True).first.click()
    bob.locator("label.tick", has_text="echo stop haproxy").locator("input").check()
    bob.get_by_role("button", name="Approve with these limits").click()
    expect(bob.locator(".messages")).to_contain_text("approved")
    grant = _start(live_world)
    assert len(grant.commands) == 4
    bob.goto(f"/grants/{grant.ref}/")
    bob.locator("summary", has_text="End access").click()
    bob.get_by_role("button", name=f"End {grant.ref}").click()
    expect(bob.locator("main")).to_contain_text("Revoked by Bob")
    bob.goto("/command-sets/restart-web/")
    bob.get_by_label("Command", exact=True).fill("echo restart nginx; id")
    bob.get_by_role("button", name="Try", exact=True).click()
    expect(bob.locator("#tried")).to_contain_text("refused")


def test_light_and_dark_and_the_search_key(visit):
    alice = visit("alice", color_scheme="light")
    alice.get_by_role("button", name="Toggle dark mode").click()
    expect(alice.locator("html")).to_have_attribute("data-theme", "dark")
    alice.reload()
    expect(alice.locator("html")).to_have_attribute("data-theme", "dark")
    alice.keyboard.press("/")
    expect(alice.locator("#find")).to_be_focused()
    alice.keyboard.type("restart-web")
    alice.keyboard.press("Enter")
    expect(alice.locator("h1")).to_contain_text("Results for “restart-web”")


def test_of_a_time_that_is_chosen_and_one_that_is_typed_the_last_counts(live_world, visit):
    alice = visit("alice")
    alice.goto("/requests/new/")
    chosen = alice.get_by_label("30 min", exact=True)
    typed = alice.get_by_label("Custom duration")
    typed.fill("45m")
    expect(alice.locator("[name=duration]:checked")).to_have_count(0)
    alice.locator(".seg label", has_text="30 min").click()
    expect(chosen).to_be_checked()
    expect(typed).to_have_value("")


def test_who_is_signed_out_while_typing_loses_nothing_and_a_double_click_sends_once(live_world, visit):
    alice = visit("alice", forgiven=" 40")
    alice.goto("/requests/new/")
    alice.locator(".seg label", has_text="nginx").click()
    expect(alice.locator("#outcome").get_by_role("link", name="A reason")).to_be_visible()
    alice.context.clear_cookies(name="stint_session")
    alice.get_by_label("Reason").fill("Certificate renewal")
    expect(alice.locator("#outcome")).to_contain_text("You are signed out")
    # In the meantime, the page polls for changes.
    alice.evaluate("htmx.trigger('#pulse', 'look')")
    note = alice.locator("#main > .stale")
    expect(note).to_have_text("You are signed out. Sign in in another tab; your input is kept.")
    expect(note.get_by_role("link")).to_have_attribute("href", "/sign-in/?next=/requests/new/")
    # The panel keeps its earlier text.
    expect(alice.locator("#outcome")).to_contain_text("You are signed out")
    expect(alice.get_by_label("Reason")).to_have_value("Certificate renewal")
    alice.locator("#outcome").get_by_role("button", name="Submit").click()
    expect(alice.locator("h1")).to_have_text("You are signed out")
    with alice.context.expect_page() as opened:
        alice.get_by_role("link", name="Sign in").click()
    sign_in(opened.value, "alice")
    alice.get_by_role("button", name="Submit again").click()
    alice.get_by_role("button", name="Submit again").click()
    expect(alice.locator("h1")).to_contain_text("You requested restart-web on web")
    assert AccessRequest.objects.get().reason == "Certificate renewal"

    alice.get_by_role("heading", name="Discussion").click()
    alice.locator("#text").fill("It takes a minute")
    assert alice.evaluate(TWICE) == [True, False]
