"""What only a browser can show of the keyboard: shortcuts and the palette."""

from playwright.sync_api import expect

from sessions_app.models import AccessRequest, Grant
from tests.support.browser import axe

STORED = "Object.entries(localStorage).filter(([name]) => name.startsWith('stint-recent'))"


def test_the_palette_finds_goes_and_returns_the_focus(live_world, visit):
    grant = live_world.grant()
    bob = visit("bob")
    link = bob.get_by_role("link", name="Policies", exact=True)
    link.focus()
    bob.keyboard.press("Control+k")
    field = bob.get_by_role("combobox", name="Go to or search for")
    expect(field).to_be_focused()
    bob.keyboard.press("Escape")
    expect(field).to_be_hidden()
    expect(link).to_be_focused()
    bob.keyboard.press("Control+k")
    bob.keyboard.type(grant.ref)
    first = bob.get_by_role("option").first
    expect(first).to_contain_text("Alice, restart-web on web")
    expect(first).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", first.get_attribute("id"))
    axe.load(bob)
    assert axe.violations(bob) == []
    bob.keyboard.press("Enter")
    bob.wait_for_url(f"**/grants/{grant.ref}/")
    bob.keyboard.press("Control+k")
    bob.keyboard.type("dark mode")
    bob.keyboard.press("Enter")
    expect(bob.locator("html")).to_have_attribute("data-theme", "dark")


def test_recents_are_references_of_one_person_until_they_sign_out(live_world, visit):
    grant = live_world.grant()
    bob = visit("bob")
    bob.evaluate("localStorage.setItem('stint-recent-999999', '[\"/people/eve/\"]')")
    bob.goto(f"/grants/{grant.ref}/")
    assert bob.evaluate(STORED) == [[f"stint-recent-{live_world.bob.pk}", f'["/grants/{grant.ref}/"]']]
    bob.goto("/")
    bob.keyboard.press("Control+k")
    expect(bob.get_by_role("group", name="Recent").get_by_role("option")).to_have_text(f"{grant.ref}grant")
    bob.goto("/sign-out/")
    bob.get_by_role("button", name="Sign out").click()
    bob.wait_for_url("**/sign-in/**")
    assert bob.evaluate(STORED) == []


def test_a_key_never_decides_or_ends_and_is_a_letter_while_typing(live_world, visit):
    grant = live_world.grant()
    asked = live_world.request(reason="Look")
    bob = visit("bob")
    bob.goto(f"/grants/{grant.ref}/")
    bob.keyboard.press("e")
    reason = bob.get_by_label("Reason (for the record)").first
    expect(reason).to_be_focused()
    bob.keyboard.type("caped")
    expect(reason).to_have_value("caped")
    bob.goto("/approvals/")
    bob.keyboard.press("a")
    bob.wait_for_url(f"**/approvals/{asked.ref}/")
    bob.keyboard.press("?")
    bob.keyboard.press("c")
    expect(bob.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    bob.keyboard.press("Escape")
    for key in "da":
        bob.keyboard.press(key)
    assert bob.url.endswith(f"/approvals/{asked.ref}/")
    assert (Grant.objects.get(pk=grant.pk).state, AccessRequest.objects.get(pk=asked.pk).state) == (
        "active",
        "pending",
    )
    bob.keyboard.press("c")
    bob.wait_for_url("**/requests/new/")
