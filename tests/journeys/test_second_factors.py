"""A second factor in a browser without scripts, and what its pages look like to everybody."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from broker.kernel import clock
from tests.support.browser import axe
from tests.support.browser.screens import DESK, SMALLEST
from tests.support.browser.site import sign_in
from tests.support.world.factors import STEP, code_of, codes_on, secret_on
from tests.support.world.passkeys import give_passkey


def fits(page: Page) -> None:
    """All of it is accessible, in light and dark, and nothing is wider than a small screen."""
    axe.load(page)
    for size in (DESK, SMALLEST):
        page.set_viewport_size(size)
        # As high as the page, so that no bar at its end lies over what one would scroll to.
        page.set_viewport_size({**size, "height": page.evaluate("document.documentElement.scrollHeight")})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert axe.violations(page) == [], (page.url, size, scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page.url, size)


def test_where_it_is_required_an_app_is_set_up_and_asked_for_without_a_script(
    live_world, serve, chromium, stint_db
):
    stint_db.env["STINT_SECOND_FACTOR"] = "required"
    site = serve()
    context = chromium.new_context(base_url=site, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, "alice")
    expect(page.locator("main")).to_contain_text("Two-factor authentication is required")
    page.get_by_role("link", name="Set up an authenticator app").click()
    expect(page.get_by_label("Six-digit code")).to_be_visible()
    secret = secret_on(page.content())
    page.get_by_label("Six-digit code").fill(code_of(secret, clock.now()))
    page.get_by_role("button", name="Set up", exact=True).click()
    expect(page.locator("ol.codes .secret")).to_have_count(10)
    assert len(codes_on(page.content())) == 10
    page.get_by_role("link", name="I've saved them").click()
    expect(page.locator("main")).to_contain_text("10 of 10 left")
    context.close()
    again = chromium.new_context(base_url=site, java_script_enabled=False).new_page()
    sign_in(again, "alice")
    again.get_by_label("Code").fill(code_of(secret, clock.now() + STEP))
    again.get_by_role("button", name="Sign in").click()
    expect(again.locator("h1")).to_contain_text("Alice")
    again.context.close()


def test_the_pages_of_second_factors_are_accessible_and_fit(live_world, serve, chromium, settings):
    site = settings.PUBLIC_URL = serve(host="localhost")
    name = "A device with rather a long name, as people give them"
    give_passkey(live_world.alice, clock.now(), name, origin=site)
    context = chromium.new_context(base_url=site, reduced_motion="reduce")
    page = context.new_page()
    sign_in(page, "alice")
    expect(page.get_by_role("button", name="Use a passkey")).to_be_visible()
    fits(page)
    codes = _renew(live_world)
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Code")).to_be_focused()
    expect(page.locator(".error", has_text="incorrect")).to_be_visible()
    fits(page)
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#page")).to_be_visible()
    page.goto("/account/")
    page.locator("summary", has_text="Remove A device").click()
    page.locator("summary", has_text="Generate new codes").click()
    fits(page)
    page.get_by_role("button", name="Generate new recovery codes").click()
    fits(page)
    _age_sign_ins()
    page.goto("/account/factors/passkey/")
    expect(page.locator("h1")).to_have_text("Confirm it's you")
    fits(page)
    context.close()
    admin = chromium.new_context(base_url=site, reduced_motion="reduce").new_page()
    sign_in(admin, "admin")
    admin.goto("/people/alice/")
    admin.locator("summary", has_text="Reset two-factor").click()
    fits(admin)
    admin.get_by_label("Reason", exact=True).last.fill("Lost phone")
    admin.get_by_role("button", name="Reset two-factor for Alice").click()
    expect(admin.locator(".messages")).to_contain_text("Reset two-factor for Alice")
    admin.context.close()


def _renew(world) -> list[str]:
    from sessions_app.operations.identities.renew_codes import renew_codes

    return renew_codes(actor=world.alice, now=clock.now())


def _age_sign_ins() -> None:
    """As if everybody had signed in an hour ago."""
    from django.contrib.sessions.models import Session

    from accounts.sessions import SessionStore

    for row in Session.objects.all():
        session = SessionStore(row.session_key)
        for shown in session.get("account_authentication_methods", []):
            shown["at"] -= 3600
        session.save()
