"""The pages of what the catalogue said, and of who had which rights."""

from __future__ import annotations

import datetime as dt
import re

from sessions_app.operations.catalogue.apply_catalogue import apply_catalogue
from tests.support.world import acts


def test_a_difference_is_marked_line_by_line_and_leads_to_who_made_it(world, browser):
    files = {**world.catalogue, **acts.policy(world, max_duration="2h")}
    apply_catalogue(files=files, actor=world.admin, now=world.now + dt.timedelta(hours=1))
    page = browser("admin").get("/history/policy/web-work/").content.decode()
    assert '<span class="del">-max_duration: 4h</span>' in page
    assert '<span class="ins">+max_duration: 2h</span>' in page
    assert "+++" not in page
    assert '<a href="/people/admin/">Admin</a>' in page
    assert '<a href="/policies/web-work/">web-work</a>' in page


def test_rights_are_asked_for_by_date_and_time_and_what_is_wrong_is_said_at_the_field(world, browser):
    admin = browser("admin")
    now = admin.get("/rights/").content.decode()
    assert '<h2 id="h-r">Now</h2>' in now
    assert 'href="/history/policy/web-work/"' in now
    for address in set(re.findall(r'href="(/history/[^"]+)"', now)):
        assert admin.get(address).status_code == 200, address
    long_ago = admin.get("/rights/?day=2020-01-01&hour=12:00").content.decode()
    assert "Wed 1 Jan 2020, 12:00" in long_ago
    assert "No rights found" in long_ago
    for asked, field, why in (
        ("day=2020-01-01", "hour", "Add the time."),
        ("day=2999-01-01&hour=12:00", "day", "Choose a time in the past."),
    ):
        page = admin.get(f"/rights/?{asked}").content.decode()
        assert f'<span class="error" id="wrong-{field}">{why}</span>' in page
        assert '<h2 id="h-r">Now</h2>' in page
    assert browser("bob").get("/rights/").status_code == 404
