"""Every page, in each of its states, passes the accessibility checker (WCAG 2.2 AA and best practices)."""

import pytest
from playwright.sync_api import Page, expect

from broker.kernel import clock
from tests.sessions_app.web.pages import OPEN, PUBLIC, READABLE, addresses, asking, open_address, reader
from tests.support.breadth import FULL
from tests.support.browser import axe
from tests.support.browser.screens import DESK, PHONE
from tests.support.browser.site import sign_in
from tests.support.browser.stage import go, is_page, is_shown, lines
from tests.support.world.passkeys import give_passkey

TABLET = {"width": 768, "height": 1024}
# The width mostly affects whether things fit, which another test checks on every screen.
SIZES = (DESK, TABLET, PHONE) if FULL else (PHONE,)


@pytest.mark.parametrize("name", sorted(READABLE))
def test_a_page_is_accessible_in_light_and_dark_on_every_screen(stage, name):
    who = reader(name)
    page = stage.page(who)
    for url in addresses(stage.scene, who)[name]:
        answer = go(page, url)
        assert answer.status in (200, 204), url
        if "text/html" in answer.headers.get("content-type", "") and is_page(page):
            _check(page)


def _check(page: Page) -> None:
    found = inaccessible(page)
    assert not found, f"{page.url}{lines(found)}"


def inaccessible(page: Page) -> list[str]:
    axe.load(page)
    found = []
    for size in SIZES:
        page.set_viewport_size(size)
        # A window as tall as the page, so that no fixed bar covers content.
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({**size, "height": max(height, size["height"])})
        page.emulate_media(color_scheme="light")
        found += [f"{size['width']} light {line}" for line in axe.violations(page)]
        page.emulate_media(color_scheme="dark")
        found += [f"{size['width']} dark {line}" for line in axe.violations(page, rules=axe.COLORS)]
    return found


@pytest.mark.parametrize("name", sorted({*OPEN, *PUBLIC}))
def test_a_page_for_everybody_is_accessible(stage, name):
    page = stage.page("alice" if name == "account_logout" else None)
    if is_shown(page, open_address(name)):
        page.goto(open_address(name))
        _check(page)


def test_what_went_wrong_is_said_accessibly(stage):
    page = stage.enter(None)
    page.goto("/sign-in/")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    _check(page)
    page.goto("/sign-in/")
    page.context.clear_cookies()
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("h1")).to_have_text("This form has expired")
    _check(page)
    page = stage.enter("alice")
    for url in ("/nothing-is-here/", "/requests/new/?cluster=web&set=restart-web&for=90h"):
        page.goto(url)
        _check(page)
    page.goto("/account/")
    page.get_by_label("Public key").fill("no key")
    page.get_by_role("button", name="Add key").click()
    expect(page.locator("main .error").first).to_be_visible()
    _check(page)


def test_what_opens_on_a_page_is_accessible(stage):
    for who, url in (
        ("alice", f"/grants/{stage.scene.grant.ref}/"),
        ("bob", f"/approvals/{stage.scene.request.ref}/"),
        *(("bob", url) for url in asking(stage.scene, "bob")),
        ("admin", "/people/"),
    ):
        page = stage.enter(who)
        page.goto(url)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        _check(page)


def test_the_page_of_the_second_step_is_accessible(live_world, serve, chromium, settings):
    site = settings.PUBLIC_URL = serve(host="localhost")
    give_passkey(live_world.alice, clock.now(), "A device with rather a long name", origin=site)
    page = chromium.new_page(base_url=site, reduced_motion="reduce")
    sign_in(page, "alice")
    expect(page.get_by_role("button", name="Use a passkey")).to_be_visible()
    _check(page)
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Code")).to_be_focused()
    _check(page)
    page.close()
