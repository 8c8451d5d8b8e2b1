"""Lists in pages."""

import pytest


def walk(caller, path: str, meanwhile=lambda: None) -> list[list[str]]:
    pages = []
    while path:
        answer = caller.get(path.removeprefix("/api/v1"))
        assert answer.status_code == 200, answer.body
        pages.append([row.get("ref") or row["username"] for row in answer.body["results"]])
        path = answer.body["next"]
        meanwhile()
    return pages


def test_pages_go_on_where_the_last_one_ended_while_rows_are_added(api, world):
    asked = [world.request().ref for _ in range(7)]
    pages = walk(api("alice"), "/requests?page_size=3", meanwhile=world.request)
    assert pages == [asked[6:3:-1], asked[3:0:-1], asked[:1]]


def test_lists_by_name_go_on_by_name(api):
    assert walk(api("admin"), "/identities?page_size=3") == [
        ["admin", "alice", "bob"],
        ["charlie", "deployer", "dora"],
        ["robot"],
    ]


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=201",
        "page_size=x",
        "cursor=x",
        "cursor=-5",
        "cursor=1&cursor=2",
        "cursor=" + "9" * 30,
        "page=2",
    ],
)
def test_a_page_that_can_not_be_is_refused(api, query):
    assert api("alice").get(f"/requests?{query}").status_code == 400


def test_a_cursor_shows_nothing_that_one_may_not_see(api, world):
    world.request()
    assert api("charlie").get("/requests?cursor=999999999").body["results"] == []
