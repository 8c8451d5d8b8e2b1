"""Keeping questions to the record."""

from __future__ import annotations

import pytest

from broker.kernel.errors import InvalidInput
from sessions_app.models import Bookmark
from sessions_app.operations.save_question import MOST, save_question


def test_a_question_is_kept_under_its_name_and_replaced_by_the_next_of_that_name(world):
    save_question(identity=world.alice, name=" Mine ", query="event=grant")
    save_question(identity=world.alice, name="Mine", query="event=request")
    save_question(identity=world.bob, name="Mine", query="event=command")
    assert list(Bookmark.objects.order_by("pk").values_list("identity__username", "page", "name", "query")) == [
        ("alice", "record", "Mine", "event=request"),
        ("bob", "record", "Mine", "event=command"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "query"), [("", "event=grant"), ("x" * 81, ""), ("a\0b", ""), ("long", "q" * 2001)]
)
def test_what_can_not_be_kept_is_refused(world, name, query):
    with pytest.raises(InvalidInput):
        save_question(identity=world.alice, name=name, query=query)
    assert not Bookmark.objects.exists()


def test_there_is_an_end_to_it_but_what_is_there_can_be_replaced(world):
    for number in range(MOST):
        save_question(identity=world.alice, name=f"Q{number}", query="")
    with pytest.raises(InvalidInput, match="50 saved questions"):
        save_question(identity=world.alice, name="One more", query="")
    assert save_question(identity=world.alice, name="Q7", query="event=ca").query == "event=ca"
