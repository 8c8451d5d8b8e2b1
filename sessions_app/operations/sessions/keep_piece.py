"""Keep a piece of a file that a gateway fetched for the page of a grant."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from sessions_app.models import FilePiece, GrantState, OrderedFile
from sessions_app.queries.gateways.ordered_files import KEPT, FileGone


def keep_piece(
    *, file_id: int, number: int, sealed: bytes, size: int = 0, sha256: str = "", now: dt.datetime
) -> None:
    """Keep one encrypted piece. The last one, with the ``sha256`` and the ``size`` of the whole content,
    completes the file, which its holder can then take.

    Raises FileGone if the grant has ended, or the file was deleted.
    """
    with transaction.atomic():
        live = OrderedFile.objects.select_for_update(no_key=True, of=("self",)).filter(
            pk=file_id, complete_at__isnull=True, grant__state=GrantState.ACTIVE, grant__expires_at__gt=now
        )
        file = live.first()
        if file is None:
            raise FileGone("The grant has ended.")
        FilePiece.objects.create(file=file, number=number, sealed=sealed)
        if sha256:
            file.size, file.sha256, file.complete_at, file.kept_until = size, sha256, now, now + KEPT
            file.save(update_fields=["size", "sha256", "complete_at", "kept_until"])
