"""Keeping the state of a page."""

import pytest

from broker.kernel.errors import InvalidInput
from sessions_app.models import Bookmark
from sessions_app.operations.requests.save_bookmark import MOST, TooManyBookmarks, save_bookmark


def save(world, name="Nightly", query="cluster=web&set=restart-web", who=None, page="request"):
    return save_bookmark(identity=who or world.alice, page=page, name=name, query=query, now=world.now)


def test_what_is_saved_is_found_by_its_owner_alone(world):
    saved = save(world, " Nightly ")
    assert (saved.name, saved.query) == ("Nightly", "cluster=web&set=restart-web")
    assert list(world.alice.bookmarks.all()) == [saved]
    assert not world.bob.bookmarks.exists()


def test_the_same_name_again_replaces_it_and_another_page_has_its_own(world):
    save(world)
    save(world, query="cluster=db")
    save(world, page="record", query="event=grant")
    assert sorted(world.alice.bookmarks.values_list("page", "query")) == [
        ("record", "event=grant"),
        ("request", "cluster=db"),
    ]


@pytest.mark.parametrize(
    "changes", [{"name": " "}, {"name": "x" * 81}, {"query": "x" * 8001}, {"page": "home"}, {"name": "\x00"}]
)
def test_what_can_not_be_kept_is_refused(world, changes):
    with pytest.raises(InvalidInput):
        save(world, **changes)
    assert not Bookmark.objects.exists()


def test_there_is_an_end_to_it(world):
    for number in range(MOST):
        save(world, str(number))
    with pytest.raises(TooManyBookmarks):
        save(world, "one more")
    assert save(world, "0", query="cluster=db").query == "cluster=db"
