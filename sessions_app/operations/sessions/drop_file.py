"""Delete a file on its way between a browser and a gateway."""

from __future__ import annotations

from sessions_app.models import OrderedFile


def drop_file(*, file_id: int) -> None:
    """Delete a file with its pieces, whether or not it exists."""
    found = OrderedFile.objects.filter(pk=file_id)
    # The database deletes the pieces.
    found._raw_delete(found.db)  # noqa: SLF001  # Django would first load what it cascades to
