"""The latest signed checkpoints of the record: in the database, and in the file outside the database."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from broker.audit.checkpoint import newest_checkpoint
from broker.audit.checkpoint_key import Signer, known_signer
from broker.audit.diagnose import Broken, Problem
from broker.audit.kept_outside import last_kept
from broker.audit.models import MAIN_LOG
from broker.audit.signed_note import is_signed, read


class Signed(NamedTuple):
    """A signed checkpoint: the number of entries and their root. ``where`` is its name in messages."""

    size: int
    root: bytes
    where: str


def contradicted(signed: Signed) -> Broken:
    """Return the finding for a record that does not match a signed checkpoint."""
    return Broken(
        Problem.CHECKPOINT,
        1,
        f"The first {signed.size:,} entries do not match {signed.where}: the entries or the checkpoint were"
        " replaced.",
    )


def newest_signed(*, log: str, using: str) -> list[Signed]:
    """Return the latest signed checkpoints in the database and in the file, largest first.

    Raises Broken if a checkpoint is not signed by this installation's key. Also raises CannotDecrypt,
    NotACheckpointKey, OSError.
    """
    newest = newest_checkpoint(log=log, using=using)
    kept = last_kept() if log == MAIN_LOG else None
    notes = {
        "the newest checkpoint": newest.note if newest else None,
        f"the last checkpoint in {settings.CHECKPOINTS_FILE}": kept,
    }
    by = known_signer(log=log, using=using)
    found = [_read(where, note, by) for where, note in notes.items() if note is not None]
    return sorted(found, reverse=True)


def _read(where: str, note: str, by: Signer | None) -> Signed:
    try:
        said = read(note)
    except ValueError as error:
        raise Broken(Problem.CHECKPOINT, 1, f"{where} can't be read. {error}") from error
    if by is None or not is_signed(note, name=by.name, key=by.key.public_key()):
        raise Broken(
            Problem.CHECKPOINT,
            1,
            f"Not signed with this installation's key: {where} (of {said.size:,} entries). It was changed, or"
            " signed with another key.",
        )
    return Signed(said.size, said.root, where)
