"""Passkeys in a real browser, with a virtual authenticator of DevTools."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.world.acts import last
from tests.support.world.world import PASSWORD


@pytest.fixture
def site(serve) -> str:
    """Run the site at a host name, because browsers allow no passkeys at 127.0.0.1."""
    return serve(host="localhost")


@pytest.fixture
def page(visit) -> Iterator[Page]:
    """Open Alice's signed-in browser, with an authenticator for passkeys."""
    page = visit("alice", forgiven="status of 400")
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield page
    devtools.detach()


def sign_out(page: Page) -> None:
    page.goto("/sign-out/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in/")


def at_home(page: Page) -> None:
    expect(page.locator("#page")).to_be_visible()
    assert page.url.endswith(":" + page.url.split(":")[2].split("/")[0] + "/")


def test_a_passkey_is_added_signs_in_alone_and_is_the_second_step(live_world, page):
    page.goto("/account/")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Add passkey").click()
    expect(page.locator("ol.codes .secret")).to_have_count(10)
    page.goto("/account/")
    expect(page.locator("main")).to_contain_text("Laptop")
    sign_out(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    at_home(page)
    assert last("identity.signed_in", "alice").data["factor"] == "webauthn"
    sign_out(page)
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("button", name="Use a passkey").click()
    at_home(page)
