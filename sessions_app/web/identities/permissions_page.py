"""The permissions page: people or groups in rows and clusters in columns, the paths to each permission, and
changes.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

from django.utils.html import escape
from django.utils.safestring import SafeString

from accounts.models import Identity
from sessions_app.policy.permissions import OVERSEE, RUN, Entry, Permission, Snapshot, changes
from sessions_app.queries.identities.all_permissions import entries_in, scope_of, snapshot_at
from sessions_app.web.display.changes_of_permissions import ShownChange, shown_changes
from sessions_app.web.display.states import Look, in_order, plural
from sessions_app.web.templatetags.stint import icon

ROWS = 25
DETAILS = 50
# With more clusters than this, cells show the number of command sets instead of their names.
NAMED_UP_TO = 6
ENVIRONMENTS = ("production", "staging", "development")
WAYS: dict[str, Look] = {
    "request": Look("info", "ticket", "With approval"),
    "immediate": Look("ok", "play", "Without approval"),
    "incident": Look("warn", "alert", "On call"),
    "break_glass": Look("glass", "flame", "Break-glass"),
    "delegation": Look("mute", "link", "Delegated"),
    "approve": Look("ok", "stamp", "Approver"),
    "view": Look("mute", "eye", "Viewer"),
    "administer": Look("info", "policy", "Administrator"),
}
FILTERS = (
    ("", "Run commands"),
    *((name, WAYS[name].word) for name in ("request", "incident", "break_glass", "delegation")),
    ("approve", "Approve"),
    ("view", "View"),
    ("administer", "Administer"),
    ("all", "All"),
)
COLUMNS = ("identity", "permission", "cluster", "command_set", "needs", "policy", "granted_by", "group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The page's query: rows of people or groups, and filters by exact name, except that ``q`` and ``on``
    match parts of names.
    """

    rows: str = ""
    q: str = ""
    on: str = ""
    permission: str = ""
    set: str = ""
    who: str = ""
    cluster: str = ""

    @property
    def by_group(self) -> bool:
        """Whether the rows are groups."""
        return self.rows == "groups"

    def fits(self, entry: Entry) -> bool:
        """Whether an entry matches all filters."""
        permission = entry.permission
        wanted = {"": RUN, "all": (*RUN, *OVERSEE)}.get(self.permission, (self.permission,))
        return (
            permission.permission in wanted
            and (not self.set or entry.command_set == self.set)
            and (not self.cluster or entry.cluster == self.cluster)
            and (not self.who or self.who == row_of(entry, by_group=self.by_group))
            and self.q.lower() in f"{entry.identity} {permission.group} {permission.policy}".lower()
            and self.on.lower() in entry.cluster.lower()
        )


class Column(NamedTuple):
    """A column of the table: a cluster."""

    name: str
    environment: str
    risk: str
    url: str


class Line(NamedTuple):
    """A command set in a cell, with the display styles of the paths to the permission."""

    name: str
    looks: Sequence[Look]


class Cell(NamedTuple):
    """The permissions of a row's identity or group on one cluster. ``url`` leads to the paths; ``sets``
    counts the command sets.
    """

    column: Column
    lines: Sequence[Line]
    looks: Sequence[Look]
    sets: int
    url: str

    @property
    def dense(self) -> SafeString:
        """The cell with the number of command sets. A page can have thousands of cells, so they are rendered
        without a template.
        """
        if not self.looks:
            return _NONE
        names = ", ".join(line.name or "the cluster" for line in self.lines)
        count = f'{self.sets}<span class="vh"> command set{"" if self.sets == 1 else "s"}</span>'
        link = f'<a href="{escape(self.url)}" title="{escape(names)}">{count if self.sets else "yes"}</a>'
        marks = "".join(map(_mark, self.looks))
        return SafeString(f'<td data-label="{escape(self.column.name)}">{link} {marks}</td>')


_NONE = SafeString('<td class="none"><span class="vh">none</span></td>')


@functools.cache
def _mark(look: Look) -> str:
    return (
        f'<span class="t-{look.tone}" title="{look.word}">{icon(look.icon)}'
        f'<span class="vh">{look.word}</span></span>'
    )


class Row(NamedTuple):
    """A person, a machine or a group, with a cell for each column."""

    label: str
    identity: Identity | None
    below: str
    url: str
    cells: Sequence[Cell]


class Way(NamedTuple):
    """One path to permissions, either to run some command sets or to oversee a cluster."""

    identity: str
    person: Identity | None
    cluster: str
    sets: Sequence[str]
    look: Look
    permission: Permission

    @property
    def through(self) -> str:
        """What gives the permission: `policy web-work, group operators`."""
        place = (
            "Stint" if self.permission.type == "stint" else f"{self.permission.type} {self.permission.name}"
        )
        return f"{place}, {f'group {self.permission.group}' if self.permission.group else 'by name'}"


@dataclass(frozen=True, slots=True)
class Matrix:
    """A page of the table. The columns are the clusters of its rows. ``groups`` is the number of
    columns of each environment, and ``clusters`` the number of clusters of all rows.
    """

    columns: Sequence[Column]
    groups: Sequence[tuple[str, int]]
    rows: Sequence[Row]
    total: int
    clusters: int
    page: int

    @property
    def ways(self) -> list[Look]:
        """The display styles on this page, for its legend."""
        used = {look for row in self.rows for cell in row.cells for look in cell.looks}
        return [look for look in WAYS.values() if look in used]

    @property
    def named(self) -> bool:
        """Whether cells show the names of command sets."""
        return len(self.columns) <= NAMED_UP_TO

    @property
    def pages(self) -> int:
        """The number of pages."""
        return max(1, -(-self.total // ROWS))


@dataclass(frozen=True, slots=True)
class Details:
    """All paths in detail, for one row or one cluster."""

    ways: Sequence[Way]
    total: int
    page: int

    @property
    def pages(self) -> int:
        """The number of pages."""
        return max(1, -(-self.total // DETAILS))


@dataclass(frozen=True, slots=True)
class Compared:
    """The changes between two times: who gained and lost what, and which command sets have a new version."""

    changes: Sequence[ShownChange]
    versions: Sequence[tuple[str, int, int]]


class Choices(NamedTuple):
    """The names to filter by."""

    clusters: Sequence[str]
    command_sets: Sequence[str]
    administrators: Sequence[str]


def row_of(entry: Entry, *, by_group: bool) -> str:
    """Return the row of an entry: its identity, or its group. A permission by name has the identity's row."""
    return entry.permission.group or entry.identity if by_group else entry.identity


def way_of(permission: Permission) -> str:
    """Return the key of a permission's display style. Planned access without approval has its own style."""
    immediate = permission.permission == "request" and permission.needs.startswith("no approval")
    return "immediate" if immediate else permission.permission


def seen_at(reader: Identity, moment: dt.datetime) -> tuple[Snapshot, list[Entry]]:
    """Return the catalog at a time, and its permission entries that the reader can see."""
    snapshot = snapshot_at(moment)
    return snapshot, entries_in(snapshot, scope_of(reader))


def choices_of(reader: Identity, snapshot: Snapshot, entries: Iterable[Entry]) -> Choices:
    """Return the clusters and command sets to filter by, and Stint's administrators if the reader can see
    everything.
    """
    clusters, sets = set(), set()
    for entry in entries:
        clusters.add(entry.cluster)
        sets.add(entry.command_set)
    active = (one for one in snapshot.people.values() if one.administers and one.is_active)
    names = sorted(one.name for one in active) if reader.is_superuser else []
    return Choices(sorted(clusters, key=in_order), sorted(sets - {""}), names)


def matrix(question: Question, snapshot: Snapshot, entries: Iterable[Entry], page: int) -> Matrix:
    """Return a page of the matching rows, with a column for each cluster that any of the rows can reach."""
    cells: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        if question.fits(entry):
            cells[row_of(entry, by_group=question.by_group)][entry.cluster].append(entry)
    names = sorted(cells, key=in_order)
    page = min(page, max(1, -(-len(names) // ROWS)))
    shown = names[(page - 1) * ROWS : page * ROWS]
    columns = _columns({cluster for name in shown for cluster in cells[name]}, snapshot)
    clusters = len({cluster for on in cells.values() for cluster in on})
    environments = [column.environment for column in columns]
    groups = [(name, environments.count(name)) for name in dict.fromkeys(environments)]
    known = _known(shown)
    rows = [_row(name, known.get(name), question, columns, cells[name], snapshot) for name in shown]
    return Matrix(columns, groups, rows, len(names), clusters, page)


def _columns(names: Iterable[str], snapshot: Snapshot) -> list[Column]:
    columns = [
        Column(
            name,
            snapshot.clusters[name]["environment"] or "",
            snapshot.clusters[name]["risk"] or "",
            _url(cluster=name),
        )
        for name in names
    ]
    order = {name: number for number, name in enumerate(ENVIRONMENTS)}
    return sorted(columns, key=lambda one: (order.get(one.environment, 9), in_order(one.name)))


def _row(
    name: str,
    identity: Identity | None,
    question: Question,
    columns: Sequence[Column],
    on: Mapping[str, Sequence[Entry]],
    snapshot: Snapshot,
) -> Row:
    is_group = question.by_group and name in snapshot.members
    below = plural(len(snapshot.members[name]), "member") if is_group else ""
    rows = "groups" if question.by_group else ""
    url = _url(rows=rows, who=name, permission=question.permission)
    cells = [_cell(column, on.get(column.name, ()), f"{url}&cluster={column.name}") for column in columns]
    return Row(name, None if is_group else identity, below, url, cells)


def _cell(column: Column, entries: Sequence[Entry], url: str) -> Cell:
    ways: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        ways[entry.command_set].add(way_of(entry.permission))
    lines = [Line(name, _looks(ways[name])) for name in sorted(ways)]
    every = _looks({way for found in ways.values() for way in found})
    return Cell(column, lines, every, sum(1 for name in ways if name), url)


def _looks(ways: set[str]) -> list[Look]:
    return [look for name, look in WAYS.items() if name in ways]


def _url(**values: str) -> str:
    return "?" + urlencode({name: value for name, value in values.items() if value})


def _known(names: Iterable[str]) -> dict[str, Identity]:
    return {one.username: one for one in Identity.objects.filter(username__in=set(names))}


def details(question: Question, entries: Iterable[Entry], page: int) -> Details:
    """Return a page of the paths that match. Command sets with the same path are combined."""
    merged: dict[tuple[str, str, Permission], list[str]] = defaultdict(list)
    for entry in entries:
        if question.fits(entry):
            merged[entry.identity, entry.cluster, entry.permission].append(entry.command_set)
    order = list(WAYS)
    keys = sorted(
        merged, key=lambda key: (in_order(key[0]), in_order(key[1]), order.index(way_of(key[2])), key[2])
    )
    page = min(page, max(1, -(-len(keys) // DETAILS)))
    shown = keys[(page - 1) * DETAILS : page * DETAILS]
    known = _known(name for name, *_ in shown)
    ways = [
        Way(
            name,
            known.get(name),
            cluster,
            [one for one in merged[key] if one],
            WAYS[way_of(permission)],
            permission,
        )
        for key in shown
        for name, cluster, permission in [key]
    ]
    return Details(ways, len(keys), page)


def compared(
    question: Question,
    reader: Identity,
    before: dt.datetime,
    after: dt.datetime,
) -> Compared:
    """Return the changes between two times that match the filters."""
    scope, old, new = scope_of(reader), snapshot_at(before), snapshot_at(after)
    was, now = ([one for one in entries_in(each, scope) if question.fits(one)] for each in (old, new))
    named = {entry.command_set for entry in (*was, *now)}
    versions = [
        (name, old.command_sets[name][1], new.command_sets[name][1])
        for name in sorted(named & old.command_sets.keys() & new.command_sets.keys())
        if old.command_sets[name][1] != new.command_sets[name][1]
    ]
    return Compared(shown_changes(changes(was, now), past=True), versions)


def lines(question: Question, entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a CSV file, with the columns in the order of COLUMNS."""
    for entry in entries:
        if question.fits(entry):
            permission = entry.permission
            granted_by = f"{permission.type} {permission.name}"
            yield (
                entry.identity,
                permission.permission,
                entry.cluster,
                entry.command_set,
                permission.needs,
                permission.policy,
                granted_by,
                permission.group,
            )
