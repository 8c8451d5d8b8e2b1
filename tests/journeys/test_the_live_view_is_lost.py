"""When the server does not respond, the page shows that only the live view is lost, not the access, and
reconnects by itself.
"""

import re

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import expect

from tests.support.pace import allow

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
    # The page polls every two seconds by itself, so no response comes before the button is pressed; only the
    # button
    # reconnects the stream so soon.
    with alice.expect_request(re.compile("/streams/")):
        note.get_by_role("button", name="Retry now").click()
    alice.unroute_all()
    expect(note).to_be_hidden()
    complaints.clear()


def test_a_page_whose_session_is_gone_says_so_and_stays(live_world, visit):
    alice = visit("alice", forgiven=" 401")
    Session.objects.all().delete()
    expect(alice.locator("#main > .stale")).to_contain_text("You are signed out.", timeout=allow(15) * 1000)
    expect(alice.locator("h1")).to_be_visible()
