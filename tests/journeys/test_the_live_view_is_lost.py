"""When nothing answers, the page says that the view is lost and the access is not, and finds back by itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.pace import allow
from tests.support.waits import eventually

pytestmark = pytest.mark.timing


def test_the_view_is_lost_and_found(live_world, visit, complaints):
    grant = live_world.grant()
    alice = visit("alice")
    alice.goto(f"/grants/{grant.ref}/")
    note = alice.locator("[data-lost]")
    expect(note).to_be_hidden()
    alice.route(re.compile("/(pulse|streams)/"), lambda route: route.abort())
    expect(note).to_be_visible(timeout=allow(10) * 1000)
    expect(note).to_contain_text("Live updates are disconnected. Access is not affected.")
    # The page asks every two seconds by itself, so nothing is answered before the button is pressed; it alone asks for
    # the stream again so soon.
    with alice.expect_request(re.compile("/streams/")):
        note.get_by_role("button", name="Retry now").click()
    alice.unroute_all()
    expect(note).to_be_hidden()
    complaints.clear()


def test_a_page_whose_session_is_gone_says_so_and_stays(live_world, visit):
    from django.contrib.sessions.models import Session

    alice = visit("alice", forgiven=" 401")
    Session.objects.all().delete()
    expect(alice.locator("#main > .stale")).to_contain_text("You are signed out.", timeout=allow(15) * 1000)
    expect(alice.locator("h1")).to_be_visible()


def test_a_part_that_was_asked_for_says_that_it_waits_and_that_nothing_came(live_world, visit, complaints):
    held = []

    def hold(route):
        held.append(route)

    alice = visit("alice")
    alice.goto("/requests/new/?cluster=web&set=restart-web")
    outcome = alice.locator("#outcome")
    alice.route("**/requests/preview/", hold)
    alice.locator("#reason").fill("nginx hangs")
    expect(outcome).to_have_attribute("aria-busy", "true")
    # The request leaves the page, and comes here, a moment later.
    eventually(lambda: alice.wait_for_timeout(20) or held)
    held[0].abort()
    expect(outcome).to_contain_text("This may be out of date. Try again.")
    expect(outcome).to_have_attribute("aria-busy", "false")
    alice.unroute_all()
    alice.locator("#reason").fill("nginx hangs again")
    expect(outcome).not_to_contain_text("This may be out of date")
    complaints.clear()
