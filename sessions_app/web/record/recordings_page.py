"""Recordings: finding them, and one of them."""

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
# On each side of the one that is watched.
NEIGHBOURS = 12
# How many runs one page of the list looks through.
SPAN = 100_000
FEWEST_ROWS, MOST_ROWS = 8, 24


@dataclass(frozen=True, slots=True)
class Replay:
    """One recording. ``digest`` is empty when the file is not to be had."""

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
        """How the command ended, and after how long it did."""
        return run_result(self.run) or took(self.run)

    @property
    def poster(self) -> float:
        """The moment that the player shows before it plays, in seconds."""
        return self.start or self.length

    @property
    def rows(self) -> int:
        """How high the terminal is: as what was printed, up to what the recording says."""
        if self.text is None or self.text.cut:
            return MOST_ROWS
        return min(MOST_ROWS, max(FEWEST_ROWS, self.text.text.count("\n") + 2))

    @property
    def markers(self) -> list[list[float | str]]:
        """The moments that the player marks on its bar."""
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
    """Return a page of the runs with a recording that the reader may see, narrowed by what a form sent.

    Each page looks through ``span`` runs at most, so that what is rare costs no more than what is not: a page with
    few rows may have an older one with more.
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
    """Return one recording, with the lines in which a text was found and the other recordings of its grant."""
    path = recording_file(run.recording)
    digest = _digest(path)
    earlier = list(_others(run).filter(pk__lt=run.pk).order_by("-pk")[:NEIGHBOURS])
    later = list(_others(run).filter(pk__gt=run.pk).order_by("pk")[:NEIGHBOURS])
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
