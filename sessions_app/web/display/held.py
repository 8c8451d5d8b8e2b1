"""Held commands as the people who decide them see them, alone or with those that wait alike."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from accounts.models import Identity
from sessions_app.models import CommandRun
from sessions_app.policy.commands.argv.quoting import readable
from sessions_app.policy.commands.json_values.bodies import canonical_body
from sessions_app.policy.policies import HoldAnswers
from sessions_app.queries.grants.held_commits import HeldStatement, statements_of
from sessions_app.queries.grants.held_files import HeldUpload, uploads_of
from sessions_app.queries.grants.read_before import ReadBefore, read_before
from sessions_app.queries.requests.alike import read_digest, together
from sessions_app.queries.requests.confirmation import must_confirm
from sessions_app.queries.requests.facts import readable_document
from sessions_app.web.display.states import EFFECT, UNKNOWN, Look


def exact_line(run: CommandRun) -> str:
    """Return a command's arguments exactly as they would run, or the line as typed if there are no
    arguments.
    """
    return readable(run.argv) if run.argv and run.grant.cluster.kind == "ssh" else run.line


class Hold(NamedTuple):
    """A held command with its exact arguments and the display style of its effect.

    ``statements`` are those of a transaction that is held at its COMMIT. ``file`` is what an upload contains.
    ``answers`` is None if only a single run can be allowed. ``reads`` is None on clusters whose results
    Stint does not see. ``confirm``: the reader must first confirm their identity to allow it.
    """

    run: CommandRun
    line: str
    look: Look
    statements: Sequence[HeldStatement] = ()
    file: HeldUpload | None = None
    answers: HoldAnswers | None = None
    reads: ReadBefore | None = None
    confirm: bool = False


class Part(NamedTuple):
    """A part of a line, and whether it differs between the commands of a group."""

    text: str
    differs: bool


class HeldRow(NamedTuple):
    """One command of a group. ``value`` is what a form sends back: the run, and the digest of what it
    shows. ``notes`` are those that the group doesn't share.
    """

    run: CommandRun
    parts: Sequence[Part]
    notes: Sequence[str]
    value: str


@dataclass(frozen=True, slots=True)
class HoldGroup:
    """Held commands that wait alike, soonest to expire first. ``notes`` are those of all of them."""

    rows: Sequence[HeldRow]
    notes: Sequence[str]
    look: Look
    reads: ReadBefore | None
    confirm: bool

    @property
    def first(self) -> CommandRun:
        """The command that expires first."""
        return self.rows[0].run

    @property
    def one_grant(self) -> bool:
        """Whether all commands belong to one grant."""
        return len({row.run.grant_id for row in self.rows}) == 1

    @property
    def one_target(self) -> bool:
        """Whether all commands run on one target."""
        return len({row.run.target_id for row in self.rows}) == 1

    @property
    def holders(self) -> list[Identity]:
        """The holders of the grants."""
        return sorted({row.run.grant.holder for row in self.rows}, key=str)

    @property
    def lapses_at(self) -> dt.datetime | None:
        """When the first command expires."""
        return self.first.hold_lapses_at


def shown_holds(
    runs: Sequence[CommandRun], reader: Identity, now: dt.datetime
) -> tuple[list[HoldGroup], list[Hold]]:
    """Return the groups of held commands that wait alike, and the commands that wait alone."""
    files = uploads_of([run for run in runs if run.grant.cluster.kind == "ssh"])
    reads = read_before(runs)
    groups = together(runs)
    return (
        [hold_group(group, reads, reader, now) for group in groups if len(group) > 1],
        [_hold(group[0], files, reads, reader, now) for group in groups if len(group) == 1],
    )


def hold_group(
    runs: Sequence[CommandRun], reads: Mapping[int, ReadBefore], reader: Identity, now: dt.datetime
) -> HoldGroup:
    """Return the group of these commands. It has what was read before the newest of them, if they belong to
    one grant.
    """
    newest = max(runs, key=lambda run: run.pk)
    one_grant = len({run.grant_id for run in runs}) == 1
    notes = {run.pk: run.notes.splitlines() for run in runs}
    shared = [note for note in notes[newest.pk] if all(note in own for own in notes.values())]
    return HoldGroup(
        rows=[
            HeldRow(
                run,
                parts,
                [note for note in notes[run.pk] if note not in shared],
                f"{run.pk}.{read_digest(run)}",
            )
            for run, parts in zip(runs, compared(runs), strict=True)
        ],
        notes=shared,
        look=EFFECT.get(newest.effect, UNKNOWN),
        reads=reads.get(newest.pk) if one_grant else None,
        confirm=any(confirms_first(run, reader, now) for run in runs),
    )


def confirms_first(run: CommandRun, reader: Identity, now: dt.datetime) -> bool:
    """Whether the reader must confirm their identity before they can allow the command."""
    return readable_document(run.grant.policy) is not None and must_confirm(run.grant.policy, reader, now)


def answers_for_hold(run: CommandRun) -> HoldAnswers | None:
    """Return how often an approval may allow a held command; None if only once."""
    if run.over_budget or hasattr(run, "held_commit"):
        return None
    document = readable_document(run.grant.policy)
    return document.answers if document else None


def _hold(
    run: CommandRun,
    files: Mapping[int, HeldUpload],
    reads: Mapping[int, ReadBefore],
    reader: Identity,
    now: dt.datetime,
) -> Hold:
    return Hold(
        run,
        exact_line(run),
        EFFECT.get(run.effect, UNKNOWN),
        statements_of(run.held_commit) if hasattr(run, "held_commit") else (),
        files.get(run.pk),
        answers_for_hold(run),
        reads.get(run.pk),
        confirms_first(run, reader, now),
    )


def compared(runs: Sequence[CommandRun]) -> list[list[Part]]:
    """Return the exact line of each command in parts, with those marked that the commands don't share."""
    lines = [list(_pieces(run)) for run in runs]
    texts = [dict(line) for line in lines]
    names = {name for line in texts for name in line if name}
    differing = {name for name in names if len({line.get(name) for line in texts}) > 1}
    return [[Part(text, name in differing) for name, text in line] for line in lines]


def _pieces(run: CommandRun) -> Iterable[tuple[str, str]]:
    """Return the parts of a line: arguments and words with names by which lines are compared, and what is
    between them with an empty name. Together, they are the exact line.
    """
    line = exact_line(run)
    if run.grant.cluster.kind == "mcp" and len(run.argv) == 2:
        pieces = list(_call(*run.argv))
    elif run.grant.cluster.kind == "ssh" and run.argv:
        pieces = list(_words([readable([word]) for word in run.argv]))
    else:
        pieces = list(_words(line.split(" ")))
    return pieces if "".join(text for _, text in pieces) == line else [("line", line)]


def _words(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for at, word in enumerate(words):
        if at:
            yield "", " "
        yield str(at), word


def _call(tool: str, arguments: str) -> Iterator[tuple[str, str]]:
    yield "tool", tool
    yield "", " {"
    for at, (name, value) in enumerate(json.loads(arguments).items()):
        if at:
            yield "", ","
        yield f".{name}", canonical_body({name: value})[1:-1]
    yield "", "}"
