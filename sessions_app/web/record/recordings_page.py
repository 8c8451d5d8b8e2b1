"""The list of recordings, and the page of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from django.db.models import QuerySet

from accounts.models import Identity
from broker.kernel.crypto import CannotDecrypt
from sessions_app.models import CommandRun
from sessions_app.queries.record.recording_content import digest_of, open_recording
from sessions_app.storage.sealed import Altered
from sessions_app.web.display.recording import (
    Hit,
    Output,
    hits,
    length_of,
    output_of,
)
from sessions_app.web.display.results import is_result
from sessions_app.web.display.states import Look, run_result, took
from sessions_app.web.layout.pagination import SIZE, Page

INTACT = Look("ok", "shield", "Seal intact")
CHANGED = Look("bad", "alert", "Modified after sealing")
UNSEALED = Look("warn", "alert", "Never sealed")
PURGED = Look("mute", "clock", "Purged")
MISSING = Look("warn", "alert", "File missing")
UNREADABLE = Look("warn", "alert", "Can't be read now")
# The maximum number of recordings shown before and after the current one.
NEIGHBORS = 12
# The number of runs examined for one page of the list.
SPAN = 20_000
FEWEST_ROWS, MOST_ROWS = 8, 24

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of a recording. If the file can't be read, ``digest`` is empty and ``seal`` shows the
    reason.
    """

    digest: str = ""
    length: float = 0.0
    text: Output | None = None
    hits: Sequence[Hit] = ()
    seal: Look | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """One recording on its page."""

    run: CommandRun
    content: Content
    seal: Look
    is_changed: bool
    wanted: str
    start: float
    others: Sequence[CommandRun]

    @property
    def fault(self) -> str:
        """Why the recording can't be played; empty if it can."""
        if self.content.digest:
            return ""
        return (
            "missing"
            if self.content.seal is None
            else "altered"
            if self.content.seal is CHANGED
            else "unreadable"
        )

    @property
    def result(self) -> str:
        """How the command ended, and after how long."""
        return run_result(self.run) or took(self.run)

    @property
    def note(self) -> str:
        """What a recording of statements contains; empty for other commands."""
        if self.run.grant.cluster.kind != "postgres":
            return ""
        if is_result(self.run):
            return "The result of the statement: the names of its columns, then one row per line."
        return "The connection from this statement on, without the rows that statements returned."

    @property
    def rows(self) -> int:
        """The height of the terminal in rows: the height of the output, within limits."""
        if self.content.text is None or self.content.text.cut:
            return MOST_ROWS
        return min(MOST_ROWS, max(FEWEST_ROWS, self.content.text.text.count("\n") + 2))

    @property
    def markers(self) -> list[list[float | str]]:
        """The markers on the player's progress bar: pairs of a time and a label."""
        return [[hit.at, hit.line[:80]] for hit in self.content.hits]


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
    """Return a page of the matching runs that have a recording the reader can see.

    Each page examines at most ``span`` runs, so that a search for rare runs costs no more than one for common
    runs. As a result, a page may have few rows even if older pages have more.
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
    """Return one recording, the lines that contain the searched text, and the other recordings of the same
    grant.
    """
    content = _content(run, wanted)
    earlier = list(_others(run).filter(pk__lt=run.pk).order_by("-pk")[:NEIGHBORS])
    later = list(_others(run).filter(pk__gt=run.pk).order_by("pk")[:NEIGHBORS])
    return Replay(
        run=run,
        content=content,
        seal=content.seal or _seal(run, content.digest),
        is_changed=bool(content.digest and run.recording_digest and content.digest != run.recording_digest),
        wanted=wanted,
        start=start,
        others=[*reversed(earlier), run, *later],
    )


def _content(run: CommandRun, wanted: str) -> Content:
    try:
        file = open_recording(run)
        if file is None:
            return Content()
        with file:
            return Content(
                digest=digest_of(file),
                length=length_of(file),
                text=output_of(file),
                hits=hits(file, wanted) if wanted else [],
            )
    except (Altered, CannotDecrypt) as error:
        log.warning("recording.altered", run=run.pk, error=str(error))
        return Content(seal=CHANGED)
    except OSError as error:
        log.warning("recording.unreadable", run=run.pk, error=error.strerror)
        return Content(seal=UNREADABLE)


def _seal(run: CommandRun, digest: str) -> Look:
    if not digest:
        return PURGED if run.recording_purged_at else MISSING
    if not run.recording_digest:
        return UNSEALED
    return INTACT if digest == run.recording_digest else CHANGED


def _others(run: CommandRun) -> QuerySet[CommandRun]:
    return CommandRun.objects.filter(grant=run.grant_id).exclude(recording="").select_related("target")
