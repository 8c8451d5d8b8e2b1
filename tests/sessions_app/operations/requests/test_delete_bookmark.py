"""Forgetting what was kept."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import Bookmark
from sessions_app.operations.requests.delete_bookmark import delete_bookmark
from sessions_app.operations.requests.save_bookmark import save_bookmark


def test_one_deletes_ones_own_and_nobody_elses(world):
    saved = save_bookmark(identity=world.alice, page="request", name="Nightly", query="", now=world.now)
    for pk, who in ((saved.pk, world.bob), (saved.pk, world.admin), (10**6, world.alice)):
        with pytest.raises(NotFound):
            delete_bookmark(bookmark_id=pk, identity=who)
    delete_bookmark(bookmark_id=saved.pk, identity=world.alice)
    assert not Bookmark.objects.exists()
