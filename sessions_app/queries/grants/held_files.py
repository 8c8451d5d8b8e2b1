"""What an upload that waits for approval contains, for those who may decide on it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import Identity
from broker.kernel.crypto import place_of, unseal
from sessions_app.models import CommandRun, Grant, HeldFile
from sessions_app.policy.commands.ssh.transfers import split_facts
from sessions_app.queries.requests.deciders import may_not_decide_in


@dataclass(frozen=True, slots=True)
class HeldUpload:
    """An upload: its path on the target, its size in bytes, its SHA-256 in hex, and its text; None if it is
    not text, or is too large to be shown.
    """

    path: str
    size: int
    sha256: str
    text: str | None = None

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return self.path.rpartition("/")[2]


def readable_uploads(
    reader: Identity, grant: Grant, runs: Sequence[CommandRun], now: dt.datetime
) -> dict[int, HeldUpload]:
    """Return the uploads among waiting commands of a grant by the ids of their runs; empty unless the reader
    may decide on them.
    """
    waiting = [run for run in runs if grant.cluster.kind == "ssh" and run.waits(now) and upload_of(run)]
    if not waiting or may_not_decide_in(grant, reader):
        return {}
    return uploads_of(waiting)


def uploads_of(runs: Sequence[CommandRun]) -> dict[int, HeldUpload]:
    """Return the uploads among held commands by the ids of their runs. Raises CannotDecrypt."""
    found = {run.pk: upload for run in runs if (upload := upload_of(run))}
    texts = HeldFile.objects.filter(run__in=found) if found else ()
    return {**found, **{held.run_id: _with_text(found[held.run_id], held) for held in texts}}


def upload_of(run: CommandRun) -> HeldUpload | None:
    """Return the upload that a run's words state, without its text; None for anything else."""
    words, facts = split_facts(tuple(run.argv))
    if words[:1] != ("put",) or len(words) != 2 or facts.size is None:
        return None
    return HeldUpload(words[1], facts.size, facts.sha256)


def _with_text(upload: HeldUpload, held: HeldFile) -> HeldUpload:
    text = unseal(bytes(held.sealed_text), place=place_of(held, "sealed_text")).decode()
    return HeldUpload(upload.path, upload.size, upload.sha256, text)
