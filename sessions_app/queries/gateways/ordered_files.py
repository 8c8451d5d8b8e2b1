"""Files on their way between browsers and gateways."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.conf import settings

from broker.kernel.crypto import place_of, unseal
from broker.kernel.errors import StintError
from broker.kernel.sealed_channel import Receiver, Sender
from sessions_app.models import FilePiece, GrantState, OrderedFile

# The bytes of a piece before encryption.
PIECE = 1024 * 1024
# How long an incomplete file or an upload is kept, and then a complete file until its holder takes it.
WAITS, KEPT = dt.timedelta(minutes=15), dt.timedelta(minutes=10)
# A gateway that ended a run without its file has been given up after this many seconds.
LOST = 10


class FileGone(StintError):
    """The file was taken, its time is over, or its grant has ended. Transfer it again."""

    code = "file_gone"
    status = 410


def to_purge(now: str) -> str:
    """Return the condition, in SQL, for files ``f`` that can't be taken any more. ``now`` is the time in SQL.

    The subqueries use keys, whatever the planner assumes about the few rows of this table.
    """
    return f"""(
    f.kept_until <= {now}
    OR (SELECT g.state <> 'active' OR g.expires_at <= {now}
          FROM sessions_app_grant g WHERE g.id = f.grant_id)
    OR (SELECT o.error <> '' OR (o.claimed_at IS NULL AND o.lapses_at <= {now})
          FROM sessions_app_commandorder o WHERE o.id = f.order_id)
    OR ((f.complete_at IS NULL OR f.direction = 'put')
        AND (SELECT r.ended_at <= {now} - interval '{LOST} seconds'
               FROM sessions_app_commandorder o JOIN sessions_app_commandrun r ON r.id = o.run_id
              WHERE o.id = f.order_id)))"""  # noqa: S608  # fixed text


def most_on_page() -> str:
    """Return the maximum size of a file on a page, for display."""
    return f"{settings.PAGE_FILE_BYTES // 2**20} MiB"


def key_of_file(*, file_id: int) -> bytes:
    """Return the key of a file's pieces. Raises FileGone and CannotDecrypt."""
    file = OrderedFile.objects.filter(pk=file_id).first()
    if file is None:
        raise FileGone("The file is no longer here.", hint="Transfer it again.")
    return key_of(file)


def key_of(file: OrderedFile) -> bytes:
    """Return the key of a file's pieces. Raises CannotDecrypt."""
    return unseal(bytes(file.sealed_key), place=place_of(file, "sealed_key"))


def piece_of(*, file_id: int, number: int, now: dt.datetime) -> bytes:
    """Return one encrypted piece, as long as the grant is active. Raises FileGone."""
    found = FilePiece.objects.filter(
        file=file_id, number=number, file__grant__state=GrantState.ACTIVE, file__grant__expires_at__gt=now
    )
    sealed = found.values_list("sealed", flat=True).first()
    if sealed is None:
        raise FileGone("The file is no longer here.", hint="Transfer it again.")
    return bytes(sealed)


def opened(receiver: Receiver, sealed: bytes) -> bytes:
    """Decrypt the next piece of a file; empty at its end. Raises CannotDecrypt, and FileGone if a piece is
    missing.
    """
    plain, lost = receiver.open(sealed)
    if lost:
        raise FileGone("The file is no longer here.", hint="Transfer it again.")
    return plain


def pieces_of(file_id: int, key: bytes, now: Callable[[], dt.datetime]) -> Iterator[bytes]:
    """Yield the content of a complete file piece by piece. Raises FileGone and CannotDecrypt."""
    receiver = Receiver(key)
    for number in itertools.count():
        plain = opened(receiver, piece_of(file_id=file_id, number=number, now=now()))
        if not plain:
            return
        yield plain


def sealed_pieces(content: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    """Yield the encrypted pieces of a file whose content comes in chunks of any size."""
    sender, waiting = Sender(key), bytearray()
    for chunk in content:
        waiting += chunk
        while len(waiting) >= PIECE:
            yield sender.seal(bytes(waiting[:PIECE]))
            del waiting[:PIECE]
    if waiting:
        yield sender.seal(bytes(waiting))
    yield sender.seal(b"")


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """One entry of a listed folder. ``size`` is in bytes, and ``time`` is that of the last change."""

    name: str
    is_folder: bool
    size: int
    time: dt.datetime


def packed(entries: Iterable[tuple[str, bool, int, int]]) -> bytes:
    """Return entries as the content of a listing: name, whether it is a folder, size, and epoch seconds."""
    return json.dumps(list(entries)).encode()


def entries_of(file: OrderedFile, now: dt.datetime) -> list[ListedEntry]:
    """Return the entries of a complete listing. Raises FileGone and CannotDecrypt."""
    content = b"".join(pieces_of(file.pk, key_of(file), lambda: now))
    return [
        # A target can report any time. Pages show those up to the year 3000.
        ListedEntry(
            name, is_folder, size, dt.datetime.fromtimestamp(min(max(time, 0), 32_503_680_000), dt.UTC)
        )
        for name, is_folder, size, time in json.loads(content)
    ]
