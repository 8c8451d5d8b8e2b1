"""Letting go of saved questions."""

from __future__ import annotations

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import Bookmark, BookmarkPage
from sessions_app.operations.delete_question import delete_question
from sessions_app.operations.save_question import save_question


def test_ones_own_question_is_deleted(world):
    saved = save_question(identity=world.alice, name="Mine", query="")
    assert delete_question(bookmark_id=saved.pk, identity=world.alice) == "Mine"
    assert not Bookmark.objects.exists()


def test_anothers_question_and_another_page_are_not_there(world):
    saved = save_question(identity=world.alice, name="Mine", query="")
    request = Bookmark.objects.create(identity=world.bob, page=BookmarkPage.REQUEST, name="Ask")
    for pk in (saved.pk, request.pk, 999_999):
        with pytest.raises(NotFound):
            delete_question(bookmark_id=pk, identity=world.bob)
    assert Bookmark.objects.count() == 2
