"""The permissions page: the matrix, each way in full, other times, and what changed."""

import datetime as dt
import re

from broker.kernel import clock
from tests.support.world import acts
from tests.support.world.reading import read

HOUR = dt.timedelta(hours=1)


def cells(page: str) -> dict[str, str]:
    """The text of the row of each identity or group, without markup."""
    body = page.split("<tbody>")[1].split("</tbody>", maxsplit=1)[0]
    plain = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)).strip() for row in body.split("</tr>")]
    return {row.split()[0]: row for row in plain if row}


def test_the_matrix_lists_people_or_groups_by_cluster_with_the_way_to_each_command_set(world, browser):
    rows = cells(read(browser("admin"), "/rights/"))
    assert "With approval On call Break-glass restart-web" in rows["AL"]
    assert "charlie" not in " ".join(rows)
    groups = cells(read(browser("admin"), "/rights/?rows=groups"))
    assert groups["on-call"] == "on-call 1 member On call Break-glass restart-web"
    assert "Approver restart-web" in cells(read(browser("admin"), "/rights/?right=approve"))["BO"]


def test_one_cluster_lists_its_people_with_what_each_way_needs_and_where_it_comes_from(world, browser):
    page = read(browser("bob"), "/rights/?cluster=web&q=alice")
    for text in (
        "1 approval from approvers, up to 4 h",
        'policy <a href="/policies/web-work/">web-work</a>',
        ">group on-call</a>",
    ):
        assert text in page


def test_readers_see_their_own_permissions_and_those_on_what_they_oversee(world, browser):
    assert set(cells(read(browser("alice"), "/rights/"))) < set(cells(read(browser("bob"), "/rights/")))
    assert "No permissions found" in read(browser("charlie"), "/rights/")


def test_two_times_or_versions_are_compared_and_another_time_is_shown(world, browser):
    world.apply(acts.policy(world, requesters={"identities": ["charlie"]}), now=clock.now())
    admin = browser("admin")
    for since in ("since_day=2020-01-01&since_hour=12:00", "since_version=policy/web-work/1"):
        assert "Charlie gained restart-web on web." in read(admin, f"/rights/?{since}&q=charlie")
    assert "Alice lost restart-web on web." in read(admin, "/rights/?since_version=policy/web-work/1")
    page = read(admin, "/rights/?since_version=policy/web-work/1&version=policy/web-work/1")
    assert "No changes" in page
    long_ago = read(admin, "/rights/?day=2020-01-01&hour=12:00")
    assert "Wed 1 Jan 2020, 12:00" in long_ago
    assert "No permissions found" in long_ago


def test_what_is_wrong_with_a_time_is_said_at_the_field(world, browser):
    for asked, field, why in (
        ("day=2020-01-01", "hour", "Add the time."),
        ("since_day=2999-01-01&since_hour=12:00", "since_day", "Choose a time in the past."),
        ("version=policy/web-work/99", "version", "Choose a version from the list."),
    ):
        page = read(browser("admin"), f"/rights/?{asked}")
        assert f'<span class="error" id="wrong-{field}">{why}</span>' in page


def test_the_file_has_each_way_that_matches(world, browser):
    text = b"".join(browser("admin").get("/rights/?format=csv&q=alice").streaming_content).decode()
    assert text.splitlines()[0].startswith("identity,permission,cluster,command_set,needs")
    assert 'alice,request,web,restart-web,"1 approval from approvers, up to 4 h",web-work' in text
    assert len(text.splitlines()) == 4
