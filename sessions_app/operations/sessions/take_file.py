"""Give a holder the file that a gateway fetched for them, once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import NotFound
from sessions_app.models import OrderedFile
from sessions_app.operations.grants.issue_http_token import check_usable
from sessions_app.operations.sessions.drop_file import drop_file
from sessions_app.queries.gateways.ordered_files import FileGone, key_of, pieces_of

# The time in which the holder's browser must have received a file.
SENDING = dt.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A file that its holder is receiving: its path on the target, its size in bytes, and its content."""

    path: str
    size: int
    content: Iterator[bytes]


def take_file(
    *, order_id: int, actor: Identity, client_address: str = "", now: Callable[[], dt.datetime]
) -> TakenFile:
    """Give the holder of a grant a downloaded file, once. It is deleted when its content was read.

    Reading stops when the grant ends. Raises NotFound for what isn't a complete download of the actor,
    FileGone, GrantIsOver and CannotDecrypt.
    """
    with transaction.atomic():
        file = _locked(order_id, actor)
        check_usable(file.grant, now())
        if file.taken_at is not None:
            raise FileGone("The file was already downloaded.", hint="Download it again from the target.")
        key = key_of(file)
        file.taken_at, file.kept_until = now(), now() + SENDING
        file.save(update_fields=["taken_at", "kept_until"])
        record(
            event=Event.FILE_TAKEN,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=file.grant.ref,
            now=now(),
            data={
                "order": order_id,
                "run": file.order.run_id,
                "path": file.path,
                "bytes": file.size,
                "sha256": file.sha256,
                "from": client_address,
            },
        )
    return TakenFile(file.path, file.size, _content(file.pk, key, now))


def _locked(order_id: int, actor: Identity) -> OrderedFile:
    files = OrderedFile.objects.select_for_update(no_key=True, of=("self",)).select_related("grant", "order")
    mine = files.filter(order=order_id, direction="get", grant__holder=actor, complete_at__isnull=False)
    if (file := mine.first()) is None:
        raise NotFound("File not found.")
    return file


def _content(file_id: int, key: bytes, now: Callable[[], dt.datetime]) -> Iterator[bytes]:
    try:
        yield from pieces_of(file_id, key, now)
    finally:
        drop_file(file_id=file_id)
