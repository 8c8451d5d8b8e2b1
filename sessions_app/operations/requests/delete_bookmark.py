"""Delete a bookmark."""

from __future__ import annotations

from accounts.models import Identity
from broker.kernel.errors import NotFound
from sessions_app.models import Bookmark


def delete_bookmark(*, bookmark_id: int, identity: Identity) -> None:
    """Delete a bookmark of the identity. Raises NotFound."""
    deleted, _ = Bookmark.objects.filter(identity=identity, pk=bookmark_id).delete()
    if not deleted:
        raise NotFound("Bookmark not found.")
