"""When nothing answers, the page says that the view is lost and the access is not, and finds back by itself."""

from __future__ import annotations

import re

from playwright.sync_api import expect


def test_the_view_is_lost_and_found(live_world, visit, complaints):
    grant = live_world.grant()
    alice = visit("alice")
    alice.goto(f"/grants/{grant.ref}/")
    note = alice.locator("[data-lost]")
    expect(note).to_be_hidden()
    alice.route(re.compile("/(pulse|streams)/"), lambda route: route.abort())
    expect(note).to_be_visible(timeout=10_000)
    expect(note).to_contain_text("The live view is lost, the access is not.")
    alice.unroute_all()
    note.get_by_role("button", name="Try now").click()
    expect(note).to_be_hidden()
    complaints.clear()


def test_a_page_whose_session_is_gone_goes_to_the_sign_in(live_world, visit):
    from django.contrib.sessions.models import Session

    alice = visit("alice")
    Session.objects.all().delete()
    alice.wait_for_url("**/sign-in/?next=/", timeout=15_000)
