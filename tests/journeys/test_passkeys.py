"""Passkeys in a real browser, whose device DevTools stand in for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.site import sign_in
from tests.support.world.acts import last
from tests.support.world.factors import codes_on


@pytest.fixture
def site(serve) -> str:
    """At a name, and not at 127.0.0.1, where browsers let nobody have a passkey."""
    return serve(host="localhost")


@pytest.fixture
def with_device(visit) -> Iterator[Callable[..., Page]]:
    """Alice's browser, signed in, with a device that makes passkeys."""
    made = []

    def open_(*, verifies: bool = True) -> Page:
        page = visit("alice", forgiven="status of 400")
        devtools = page.context.new_cdp_session(page)
        made.append(devtools)
        devtools.send("WebAuthn.enable")
        options = {"protocol": "ctap2", "transport": "internal" if verifies else "usb", "hasResidentKey": verifies,
                   "hasUserVerification": verifies, "isUserVerified": verifies, "automaticPresenceSimulation": True}  # fmt: skip
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return page

    yield open_
    for devtools in made:
        devtools.detach()


def codes_of(page: Page) -> list[str]:
    """The recovery codes that the page shows, once it shows them all."""
    expect(page.locator("h1")).to_have_text("Two-factor authentication")
    expect(page.locator("ol.codes .secret")).to_have_count(10)
    return codes_on(page.content())


def add(page: Page, name: str) -> None:
    page.goto("/account/")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Add passkey").click()
    assert len(codes_of(page)) == 10


def sign_out(page: Page) -> None:
    page.goto("/sign-out/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in/")


def password(page: Page) -> None:
    page.goto("/sign-in/")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator("h1")).to_have_text("Two-factor authentication")


def at_home(page: Page) -> None:
    expect(page.locator("#page")).to_be_visible()
    assert page.url.endswith(":" + page.url.split(":")[2].split("/")[0] + "/")


def test_a_passkey_is_added_signs_in_alone_and_is_the_second_step(live_world, with_device):
    page = with_device()
    add(page, "Laptop")
    page.goto("/account/")
    expect(page.locator("main")).to_contain_text("Laptop")
    sign_out(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    at_home(page)
    assert last("identity.signed_in", "alice").data["factor"] == "webauthn"
    sign_out(page)
    password(page)
    page.get_by_role("button", name="Use a passkey").click()
    at_home(page)


def test_a_security_key_that_can_not_tell_who_touches_it_is_a_second_step(live_world, with_device):
    page = with_device(verifies=False)
    add(page, "Key ring")
    sign_out(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was changed")
    password(page)
    page.get_by_role("button", name="Use a passkey").click()
    at_home(page)


def test_without_scripts_the_second_step_takes_a_recovery_code(
    live_world, with_device, visit, chromium, site
):
    page = with_device()
    page.goto("/account/factors/passkey/")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Add passkey").click()
    code = codes_of(page)[0]
    plain = chromium.new_context(base_url=site, java_script_enabled=False).new_page()
    sign_in(plain, "alice")
    expect(plain.get_by_role("button", name="Use a passkey")).to_be_hidden()
    plain.get_by_label("Code").fill(code)
    plain.get_by_role("button", name="Sign in").click()
    expect(plain.locator("#page")).to_be_visible()
    plain.context.close()
