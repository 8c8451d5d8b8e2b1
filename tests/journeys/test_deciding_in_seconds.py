"""A decision from a phone: from the link in an email to the decision in two taps, without scrolling."""

import re

import pytest
from playwright.sync_api import expect

from broker.kernel import clock
from sessions_app.models import AccessRequest, Approval
from tests.support.browser.screens import DESK, PHONE
from tests.support.world import acts

# Counts the words that are shown before the button that approves, and finds what is not on the first screen.
FIRST_SCREEN = """() => {
  const approve = document.querySelector('[name=verdict][value=approve]');
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  let words = 0;
  for (let node = walker.nextNode(); node && !approve.contains(node); node = walker.nextNode()) {
    if (node.parentElement.checkVisibility() && !node.parentElement.closest('.vh'))
      words += (node.data.match(/\\S+/g) || []).length;
  }
  const wanted = ['h1', '.badges', '.brief blockquote', '.brief > .note', '[value=approve]',
    '[data-sheet=deny]'];
  const bar = getComputedStyle(document.querySelector('.choose')).position === 'fixed'
    ? document.querySelector('.choose').getBoundingClientRect().top : innerHeight;
  return {words, missing: wanted.filter(one => {
    const box = document.querySelector(one)?.getBoundingClientRect();
    return !box || box.top < 0 || box.bottom > (one.startsWith('[') ? innerHeight : bar);
  })};
}"""
# Presses a button, and returns what it shows in the same frame.
PRESS = """button => { button.click(); return [button.textContent, button.inert]; }"""


@pytest.fixture
def asked(live_world):
    live_world.grant(who=live_world.deployer, now=clock.now())
    reason = "The certificate of the shop expires tonight, and nginx has to load the new one before that."
    return live_world.request(now=clock.now(), reason=reason, ticket="CHG-2291")


@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_from_the_mail_to_the_decision_are_two_taps_on_one_screen(live_world, visit, asked, screen, script):
    bob = visit("bob", screen, java_script_enabled=script)
    bob.goto(f"/approvals/{asked.ref}/")
    if script:
        shown = bob.evaluate(FIRST_SCREEN)
        assert shown["missing"] == []
        assert shown["words"] <= 90
    bob.get_by_role("button", name="Approve", exact=True).click()
    expect(bob.locator("#decided")).to_contain_text("Approved")
    expect(bob.get_by_role("link", name="Watch it")).to_be_visible()


def test_a_denial_is_sent_from_its_sheet_and_keeps_what_was_typed(live_world, visit, asked):
    for script in (False, True):
        request = live_world.request(now=clock.now())
        bob = visit("bob", PHONE, java_script_enabled=script)
        bob.goto(f"/approvals/{request.ref}/")
        bob.get_by_role("button", name="Deny", exact=True).click()
        sheet = bob.locator("dialog#deny")
        expect(sheet).to_be_visible()
        sheet.get_by_label("Comment").fill(" ")
        sheet.get_by_role("button", name="Deny request").click()
        expect(sheet).to_contain_text("A comment is required")
        sheet.get_by_label("Comment").fill("Not in the freeze")
        sheet.get_by_role("button", name="Deny request").click()
        expect(bob.locator("#decided")).to_contain_text("Denied")
        expect(bob.get_by_role("link", name=re.compile("Next of [0-9]"))).to_be_visible()


def test_a_button_shows_its_state_at_once_and_takes_it_back(live_world, visit, asked):
    bob = visit("bob", PHONE, forgiven="Failed to load resource")
    bob.goto(f"/approvals/{asked.ref}/")
    approve = bob.get_by_role("button", name="Approve", exact=True)
    bob.route("**/decide/", lambda route: route.abort())
    assert approve.evaluate(PRESS) == ["Approving…", True]
    expect(bob.locator(".unsent")).to_contain_text("did not respond")
    expect(approve).to_be_enabled()
    bob.unroute("**/decide/")
    acts.change(live_world, {})
    AccessRequest.objects.filter(pk=asked.pk).update(lapses_at=clock.now())
    approve.click()
    expect(bob.locator("main")).to_contain_text("has expired")
    assert not Approval.objects.filter(request=asked).exists()


def test_undo_is_offered_for_ten_seconds_before_the_start(live_world, visit):
    later = live_world.request(now=clock.now(), starts_at=acts.after(live_world, minutes=20))
    bob = visit("bob", PHONE)
    bob.goto(f"/approvals/{later.ref}/")
    bob.get_by_role("button", name="Approve", exact=True).click()
    bob.get_by_role("button", name="Undo").click()
    expect(bob.locator(".messages")).to_contain_text("was withdrawn")
    expect(bob.get_by_role("button", name="Undo")).to_have_count(0)
    assert Approval.objects.get().voided_at
