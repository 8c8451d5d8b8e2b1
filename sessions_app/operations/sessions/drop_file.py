"""Delete a file on its way between a browser and a gateway."""

from __future__ import annotations

from sessions_app.models import OrderedFile


def drop_file(*, file_id: int) -> None:
    """Delete a file with its pieces, whether or not it exists."""
    # The database deletes the pieces.
    OrderedFile.objects.filter(pk=file_id).delete()
