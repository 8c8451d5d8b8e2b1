"""Recordings: their list, and the page of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db.models import QuerySet

from accounts.models import Identity
from sessions_app.models import CommandRun
from sessions_app.queries.recorded import digest_of, recording_file
from sessions_app.web.shell.pages import SIZE, Page
from sessions_app.web.shell.recording import (
    Hit,
    Output,
    hits,
    length_of,
    output_of,
)
from sessions_app.web.shell.words import Look, run_result, took

INTACT = Look("ok", "shield", "Seal intact")
CHANGED = Look("bad", "alert", "Modified after sealing")
UNSEALED = Look("warn", "alert", "Never sealed")
PURGED = Look("mute", "clock", "Purged")
MISSING = Look("warn", "alert", "File missing")
# The most recordings shown before and after the one being watched.
NEIGHBORS = 12
# The number of runs that one page of the list examines.
SPAN = 100_000
FEWEST_ROWS, MOST_ROWS = 8, 24


@dataclass(frozen=True, slots=True)
class Replay:
    """One recording. ``digest`` is empty if the file is not available."""

    run: CommandRun
    seal: Look
    is_changed: bool
    digest: str
    length: float
    text: Output | None
    wanted: str
    hits: Sequence[Hit]
    start: float
    others: Sequence[CommandRun]

    @property
    def is_missing(self) -> bool:
        """Whether there is no file to play."""
        return not self.digest

    @property
    def result(self) -> str:
        """How the command ended, and after how long."""
        return run_result(self.run) or took(self.run)

    @property
    def poster(self) -> float:
        """The time that the player shows before it plays, in seconds."""
        return self.start or self.length

    @property
    def rows(self) -> int:
        """The height of the terminal in rows: that of the output, within limits."""
        if self.text is None or self.text.cut:
            return MOST_ROWS
        return min(MOST_ROWS, max(FEWEST_ROWS, self.text.text.count("\n") + 2))

    @property
    def markers(self) -> list[list[float | str]]:
        """The times that the player marks on its progress bar, with labels."""
        return [[hit.at, hit.line[:80]] for hit in self.hits]


def recordings(
    reader: Identity,
    *,
    before: str = "",
    cluster: str = "",
    person: str = "",
    grant: str = "",
    text: str = "",
    span: int = SPAN,
) -> Page[CommandRun]:
    """Return a page of the recorded runs that the reader may see, filtered by what a form sent.

    Each page examines at most ``span`` runs, so that rare matches cost no more than common ones. A page with few rows
    may have an older page with more.
    """
    top = int(before) if before.isdecimal() and len(before) < 18 else _newest() + 1
    bottom = max(0, top - span)
    found = (
        CommandRun.objects.visible_to(reader)
        .filter(pk__lt=top, pk__gte=bottom)
        .exclude(recording="")
        .select_related("grant__holder", "grant__cluster", "target")
    )
    if cluster:
        found = found.filter(grant__cluster__name=cluster)
    if person:
        found = found.filter(grant__holder__username=person)
    if grant:
        found = found.filter(grant__ref=grant.upper())
    if text:
        found = found.filter(line__icontains=text)
    rows = list(found.order_by("-pk")[: SIZE + 1])
    more = len(rows) > SIZE
    rows = rows[:SIZE]
    return Page(rows, rows[-1].pk if more else bottom or None, newer=bool(before))


def _newest() -> int:
    return CommandRun.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def replay(run: CommandRun, *, wanted: str, start: float) -> Replay:
    """Return one recording, with the lines that contain a text and the other recordings of its grant."""
    path = recording_file(run.recording)
    digest = _digest(path)
    earlier = list(_others(run).filter(pk__lt=run.pk).order_by("-pk")[:NEIGHBORS])
    later = list(_others(run).filter(pk__gt=run.pk).order_by("pk")[:NEIGHBORS])
    return Replay(
        run=run,
        seal=_seal(run, digest),
        is_changed=bool(digest and run.recording_digest and digest != run.recording_digest),
        digest=digest,
        length=length_of(path) if path and digest else 0.0,
        text=output_of(run.recording),
        wanted=wanted,
        hits=hits(path, wanted) if path and digest and wanted else [],
        start=start,
        others=[*reversed(earlier), run, *later],
    )


def _digest(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return digest_of(path)
    except OSError:
        return ""


def _seal(run: CommandRun, digest: str) -> Look:
    if not digest:
        return PURGED if run.recording_purged_at else MISSING
    if not run.recording_digest:
        return UNSEALED
    return INTACT if digest == run.recording_digest else CHANGED


def _others(run: CommandRun) -> QuerySet[CommandRun]:
    return CommandRun.objects.filter(grant=run.grant_id).exclude(recording="").select_related("target")
