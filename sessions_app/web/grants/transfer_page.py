"""The data of a transfer's page."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import Identity
from broker.kernel.errors import StintError
from sessions_app.models import CommandOrder, CommandRun, Grant, OrderedFile, RunState
from sessions_app.operations.grants.cut_unfinished import UNFINISHED
from sessions_app.policy.commands.argv.lines import LineRefused, parse_line
from sessions_app.policy.commands.ssh import tree
from sessions_app.policy.commands.ssh.decide import CompiledSet
from sessions_app.policy.commands.ssh.transfers import is_transfer
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.gateways.ordered_files import LOST, ListedEntry, entries_of
from sessions_app.web.grants.log import RunEntry, entry_of
from sessions_app.web.grants.queued import OrderEntry, order_entry

# The entries of a folder on one page.
ENTRIES = 200
TITLES = {"get": "Download", "put": "Upload", "list": "List"}


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry of a listed folder, and whether the rules allow to download it or to list it."""

    entry: ListedEntry
    path: str
    gets: bool
    lists: bool


@dataclass(frozen=True, slots=True)
class TransferPage:
    """One ordered transfer, as its holder sees it."""

    grant: Grant
    order: CommandOrder
    direction: str
    path: str
    waiting: OrderEntry | None
    entry: RunEntry | None
    file: OrderedFile | None
    rows: Sequence[EntryRow]
    count: int
    start: int
    fault: StintError | None
    now: dt.datetime

    @property
    def title(self) -> str:
        """The page's title."""
        return f"{TITLES[self.direction]} {self.path}"

    @property
    def ready(self) -> bool:
        """Whether the file can be saved, or the listing is shown."""
        return self.file is not None and self.file.complete_at is not None and self.direction != "put"

    @property
    def saves(self) -> bool:
        """Whether the file can be saved now."""
        return self.ready and self.direction == "get" and self.file is not None and not self.file.taken_at

    @property
    def lists(self) -> bool:
        """Whether the listing is shown."""
        return self.ready and self.direction == "list" and self.fault is None

    @property
    def under_way(self) -> bool:
        """Whether the page will change without its reader."""
        run = self.entry.run if self.entry else None
        if run is None:
            return self.waiting is not None and not self.waiting.look.icon
        late = run.ended_at is not None and run.ended_at + dt.timedelta(seconds=LOST) < self.now
        arrives = run.state == RunState.DONE and self.file is not None and not self.ready and not late
        return run.state in UNFINISHED or (arrives and self.direction != "put")

    @property
    def gone(self) -> bool:
        """Whether a download or a listing that succeeded is no longer here."""
        done = (
            self.entry is not None
            and self.entry.run.state == RunState.DONE
            and not self.entry.run.exit_status
        )
        return done and self.direction != "put" and not self.under_way and not (self.saves or self.lists)

    @property
    def sent(self) -> bool:
        """Whether the upload succeeded."""
        run = self.entry.run if self.entry else None
        return (
            self.direction == "put" and run is not None and run.state == RunState.DONE and not run.exit_status
        )

    @property
    def again(self) -> bool:
        """Whether the page has a button that repeats the transfer."""
        return self.direction != "put" and not self.under_way and not self.saves

    @property
    def elsewhere(self) -> str:
        """The line that does the same from a terminal; empty for a listing."""
        there = f"{self.grant.ref}.{self.order.target.name}:{self.path}"
        lines = {"get": f"stint cp {there} .", "put": f"stint cp FILE {there}"}
        return lines.get(self.direction, "")

    @property
    def parent(self) -> str:
        """The folder above a listed folder; empty at the root."""
        return "" if self.path == "/" else self.path.rpartition("/")[0] or "/"

    @property
    def next(self) -> int | None:
        """The first entry of the next page; None on the last one."""
        return self.start + ENTRIES if self.start + ENTRIES < self.count else None

    @property
    def seen(self) -> str:
        """A hash of what the page shows."""
        run, file = self.entry.run if self.entry else None, self.file
        parts = (
            (run.state, run.decided_at, run.reason) if run else (),
            (self.waiting.look, self.waiting.why) if self.waiting else (),
            (file.complete_at, file.taken_at) if file else (),
            self.under_way,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def transfer_page(
    order: CommandOrder, reader: Identity, now: dt.datetime, *, start: int = 0
) -> TransferPage | None:
    """Return the page of an order; None if it isn't a transfer."""
    words = _words(order)
    if not is_transfer(words) or len(words) < 2:
        return None
    file = OrderedFile.objects.filter(order=order).first()
    run = _run_of(order)
    entries, fault = _entries(file, now)
    part = entries[start : start + ENTRIES]
    compiled = commands.compiled(
        order.grant.command_set_version, order.grant.parameters, order.grant.commands
    )
    return TransferPage(
        grant=order.grant,
        order=order,
        direction=words[0],
        path=words[1],
        waiting=order_entry(order, now) if run is None else None,
        entry=entry_of(run, order.grant, reader, now) if run else None,
        file=file,
        rows=[_row(one, words[1], compiled) for one in part] if isinstance(compiled, CompiledSet) else [],
        count=len(entries),
        start=start,
        fault=fault,
        now=now,
    )


def _words(order: CommandOrder) -> tuple[str, ...]:
    try:
        return parse_line(order.line)
    except LineRefused:
        # A path that can't be quoted was refused.
        return tuple(order.line.split(" ", 1))


def _run_of(order: CommandOrder) -> CommandRun | None:
    if order.run_id is None:
        return None
    runs = CommandRun.objects.select_related("target", "decided_by", "session", "order", "held_commit")
    run = runs.defer("held_commit__sealed_content").get(pk=order.run_id)
    run.grant = order.grant
    return run


def _entries(file: OrderedFile | None, now: dt.datetime) -> tuple[list[ListedEntry], StintError | None]:
    if file is None or file.direction != "list" or file.complete_at is None:
        return [], None
    try:
        return sorted(entries_of(file, now), key=lambda one: (not one.is_folder, one.name)), None
    except StintError as error:
        return [], error


def _row(entry: ListedEntry, folder: str, compiled: CompiledSet) -> EntryRow:
    path = f"{folder.rstrip('/')}/{entry.name}"
    return EntryRow(
        entry,
        path,
        gets=not entry.is_folder and tree.allows(compiled, "get", path),
        lists=entry.is_folder and tree.allows(compiled, "list", path),
    )
