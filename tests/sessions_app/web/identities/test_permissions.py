"""The permissions page: the matrix, each way in full, other times, and what changed."""

import datetime as dt
import re

from broker.kernel import clock
from sessions_app.operations.catalog.save_document import save_document
from tests.support.world import acts
from tests.support.world.proposals import delegate, web_work
from tests.support.world.reading import read, says

HOUR = dt.timedelta(hours=1)


def rows(page: str) -> dict[str, str]:
    """The text of the cells of each identity or group, without markup."""
    body = page.split("<tbody>")[1].split("</tbody>", maxsplit=1)[0]
    names = re.findall(r'<th scope="row">.*?who=([\w@-]+)', body, re.DOTALL)
    plain = [re.sub(r"<[^>]+>", " ", row.split("</tr>")[0]) for row in body.split("</th>")[1:]]
    return {name: " ".join(text.split()) for name, text in zip(names, plain, strict=True)}


def test_the_matrix_lists_people_or_groups_by_cluster_with_the_way_to_each_command_set(world, browser):
    found = rows(read(browser("admin"), "/permissions/"))
    assert found["alice"].startswith("With approval On call Break-glass restart-web")
    assert "charlie" not in found
    groups = rows(read(browser("admin"), "/permissions/?rows=groups"))
    assert groups["on-call"].startswith("On call Break-glass restart-web")
    assert rows(read(browser("admin"), "/permissions/?permission=approve"))["bob"].startswith(
        "Approver restart-web"
    )


def test_one_cluster_lists_its_people_with_what_each_way_needs_and_where_it_comes_from(world, browser):
    page = read(browser("bob"), "/permissions/?cluster=web&q=alice")
    for text in (
        "1 approval from approvers, up to 4 h",
        'policy <a href="/policies/web-work/">web-work</a>',
        "no approval, up to 1 h, reviewed within 1 d",
        "who=on-call",
    ):
        assert text in page


def test_a_cluster_is_a_link_only_if_the_reader_has_permissions_on_it_or_sees_those_of_others(world, browser):
    link = '<a href="/clusters/web/">web</a>'
    assert link in read(browser("alice"), "/permissions/?cluster=web")
    assert link not in read(browser("charlie"), "/permissions/?cluster=web")
    page = read(browser("alice"), "/permissions/?cluster=no+such%2Fcluster&who=alice")
    assert "alice on no such/cluster, now" in " ".join(page.split())
    assert "No permissions found" in page
    assert "Check a command" not in page


def test_readers_see_their_own_permissions_and_those_on_what_they_oversee(world, browser):
    assert set(rows(read(browser("alice"), "/permissions/?permission=all"))) == {"alice", "deployer", "robot"}
    assert {"alice", "bob"} < set(rows(read(browser("bob"), "/permissions/?permission=all")))
    assert "No permissions found" in read(browser("charlie"), "/permissions/")


def test_two_times_or_versions_are_compared_and_another_time_is_shown(world, browser):
    world.apply(acts.policy(world, requesters={"identities": ["charlie"]}), now=clock.now())
    admin = browser("admin")
    for since in ("since_day=2020-01-01&since_hour=12:00", "since_version=policy/web-work/1"):
        assert "Charlie gained restart-web on web." in read(admin, f"/permissions/?{since}&q=charlie")
    assert "Alice lost restart-web on web." in read(
        admin, "/permissions/?since_version=policy/web-work/1&q=alice"
    )
    page = read(admin, "/permissions/?since_version=policy/web-work/1&version=policy/web-work/1")
    assert "No changes" in page
    long_ago = read(admin, "/permissions/?day=2020-01-01&hour=12:00")
    assert "Wed 1 Jan 2020, 12:00" in long_ago
    assert "No permissions found" in long_ago


def test_what_is_wrong_with_a_time_is_said_at_the_field(world, browser):
    for asked, field, why in (
        ("day=2020-01-01", "hour", "Add the time."),
        ("since_day=2999-01-01&since_hour=12:00", "since_day", "Choose a time in the past."),
        (
            "version=policy/web-work/99",
            "version",
            "This version does not exist. Choose a version from the list.",
        ),
    ):
        page = read(browser("admin"), f"/permissions/?{asked}")
        assert f'<span class="error" id="wrong-{field}">{why}</span>' in page, re.findall("wrong.*", page)


def test_the_file_has_each_way_that_matches(world, browser):
    text = b"".join(browser("admin").get("/permissions/?format=csv&q=alice").streaming_content).decode()
    assert text.splitlines()[0].startswith("identity,permission,cluster,command_set,needs")
    assert 'alice,request,web,restart-web,"1 approval from approvers, up to 4 h",web-work' in text
    assert len(text.splitlines()) == 4


def test_the_editor_and_the_proposal_say_who_would_gain_and_lose_what(world, browser):
    delegate(world)
    charlie = {"requesters": {"groups": ["operators"], "identities": ["charlie"]}}
    source = web_work(world, **charlie)
    page = browser("dora").post("/policies/web-work/edit/", {"act": "check", "source": source})
    says(page.content.decode(), "Charlie gains restart-web on web.", "No one loses permissions.")
    save_document(kind="policies", source=source, actor=world.dora, now=world.now)
    says(read(browser("bob"), "/policies/web-work/"), "Charlie gains restart-web on web.")
    unchanged = browser("dora").post("/policies/web-work/edit/", {"act": "check", "source": web_work(world)})
    says(unchanged.content.decode(), "No one gains or loses permissions.")
