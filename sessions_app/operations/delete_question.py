"""Let go of a saved question."""

from __future__ import annotations

from accounts.models import Identity
from broker.kernel.errors import NotFound
from sessions_app.models import Bookmark, BookmarkPage


def delete_question(*, bookmark_id: int, identity: Identity) -> str:
    """Delete one of the identity's own saved questions to the record, and return its name. Raises NotFound."""
    own = Bookmark.objects.filter(pk=bookmark_id, identity=identity, page=BookmarkPage.RECORD)
    found = own.first()
    if found is None:
        raise NotFound("There is no such question of yours.")
    own.delete()
    return found.name
