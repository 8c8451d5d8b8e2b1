"""From an empty Stint with one administrator to the first request, in a browser."""

import datetime as dt
import re
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.operations.create_identity import create_identity
from broker.audit.actor import Actor
from broker.demo.sshd import SshTarget
from broker.kernel import clock
from sessions_app.models import Sweeper, TargetCheck
from sessions_app.operations.targets.carry_out_check import carry_out_check
from tests.support.browser.screens import DESK
from tests.support.browser.site import settle
from tests.support.world.acts import Started

PASSWORD = "a first administrator's words"


def carry_out_checks() -> None:
    """Run the pending checks, as the worker does. In a thread, because the browser's event loop runs in this
    one.
    """

    def carry_out() -> None:
        for pk in list(TargetCheck.objects.filter(finished_at__isnull=True).values_list("pk", flat=True)):
            carry_out_check(check_id=pk, now=clock.now)

    Started(carry_out).result()


@pytest.fixture
def live_world(stint_db):
    """Create one administrator, as `createsuperuser` does. A sweeper runs."""
    clock.sync()
    now = clock.now()
    create_identity(
        username="root",
        email="root@example.com",
        password=PASSWORD,
        is_superuser=True,
        actor=Actor.system("createsuperuser"),
        now=now,
    )
    Sweeper.objects.create(name="test", seen_at=now + dt.timedelta(hours=1))
    return SimpleNamespace(now=now)


@pytest.fixture
def site(serve, stint_db) -> str:
    """Run the pages of a Stint with a known source address of its gateway."""
    stint_db.env["STINT_SSH_SOURCE_ADDRESS"] = "127.0.0.1"
    return serve()


def sign_in(chromium: Browser, site: str, name: str, password: str) -> Page:
    page = chromium.new_context(viewport=DESK, base_url=site).new_page()
    page.goto("/sign-in/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    return page


def sign_in_first(chromium: Browser, site: str, name: str, given: str) -> Page:
    """Sign in with the password from the administrator, and replace it: no other page opens before that."""
    page = sign_in(chromium, site, name, given)
    expect(page.locator("h1")).to_have_text("Choose your own password")
    page.get_by_label("Current password").fill(given)
    page.get_by_label("New password", exact=True).fill(f"{PASSWORD} to {name}")
    page.get_by_label("Confirm new password").fill(f"{PASSWORD} to {name}")
    page.get_by_role("button", name="Change password").click()
    expect(page.locator(".messages")).to_contain_text("Password changed")
    page.goto("/")
    return page


def add(page: Page, name: str, groups: str) -> str:
    """Add a person and return their first password, which is shown once."""
    page.get_by_label("Name", exact=True).fill(name.title())
    page.get_by_label("Username").fill(name)
    page.get_by_label("Email").fill(f"{name}@example.com")
    page.get_by_label("Groups").fill(groups)
    page.get_by_role("button", name="Add person", exact=True).click()
    expect(page.locator(".note.t-ok")).to_contain_text(f"sign in as {name}")
    return page.locator(".secret").inner_text()


def test_first_run(live_world, chromium, site):
    with SshTarget([], ["web"]) as sshd:
        root = sign_in(chromium, site, "root", PASSWORD)
        expect(root.locator("h1")).to_have_text("Get started")
        words = add(root, "alice", "operators")
        add(root, "bob", "approvers")
        root.get_by_role("link", name="Next: cluster").click()

        root.get_by_label("Name", exact=True).first.fill("web")
        root.locator("summary", has_text="Paste targets").click()
        root.get_by_label("Targets, one a line").fill(f"127.0.0.1:no-port root {sshd.host_key}")
        root.get_by_role("button", name="Create cluster").last.click()
        port = root.get_by_label("Target 1, port")
        expect(port).to_have_accessible_description(re.compile("Must be a whole number"))
        expect(root.locator(".targets")).not_to_contain_text("Is empty")
        port.fill(str(sshd.port))
        root.get_by_role("button", name="Create cluster").last.click()

        root.get_by_role("button", name="Create certificate authority").click()
        root.get_by_role("button", name="Check all").click()
        expect(root.locator("#checks .pill")).to_contain_text("Checking")
        carry_out_checks()
        expect(root.locator("#checks")).to_contain_text("1 step failed")
        root.locator("summary", has_text="Manual setup, step by step").click()
        sshd.trust([root.get_by_role("button", name="Copy the key").get_attribute("data-copy")])
        root.get_by_role("button", name="Check all").click()
        expect(root.locator("#checks .pill")).to_contain_text("Checking")
        carry_out_checks()
        expect(root.locator("#checks")).to_contain_text("Passed")
        root.get_by_role("link", name="Next: commands").click()

        # Left, and resumed at the same step.
        root.goto("/policies/")
        root.goto("/welcome/")
        expect(root.locator("[aria-current=step]")).to_contain_text("Commands")
        root.get_by_role("link", name="Read logs").click()
        root.get_by_role("button", name="Publish").click()
        root.get_by_role("group", name="Requesters").get_by_label("operators").check()
        root.get_by_role("group", name="Approvers").get_by_label("approvers").check()
        root.get_by_role("button", name="Create policy").click()
        expect(root.locator("h1")).to_have_text("Stint is set up")

    alice = sign_in_first(chromium, site, "alice", words)
    alice.get_by_role("link", name="Request access").first.click()
    alice.get_by_label("Reason").fill("See why it is slow")
    expect(alice.locator("#outcome")).to_contain_text("Needs 1 approval")
    settle(alice)
    alice.locator("#outcome").get_by_role("button", name="Submit to 1 approver").click()
    expect(alice.locator("h1")).to_contain_text("You requested read-logs on web")
