"""The results that the holder of a grant got before a command was held, as far as Stint keeps facts about
them: never their contents.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

from broker.kernel.postgresql.rows import ask
from sessions_app.models import CommandRun
from sessions_app.policy.commands.mcp.results import ValueSource, sources_in

# The kinds of clusters whose gateways see results.
KINDS = frozenset({"mcp", "http", "postgres"})
MOST = 10
# More results than this are not counted.
COUNTED = 1000

# A client can use several sessions of a grant, such as one for each target, so those of the grant count. A
# transaction that waits at its COMMIT ran before it was held: its later statements count as well.
_READ = """
SELECT held.id, read.id, read.line, read.ended_at, read.untrusted, read.output_bytes, read.rows, earlier.many
  FROM sessions_app_commandrun held
 CROSS JOIN LATERAL (
       SELECT id, count(*) OVER () AS many FROM (
              SELECT id FROM sessions_app_commandrun one
               WHERE one.grant_id = held.grant_id AND one.id <> held.id
                 AND (one.id < held.id OR (held.started_at IS NOT NULL AND one.session_id = held.session_id))
                 AND one.started_at IS NOT NULL AND one.ended_at IS NOT NULL AND one.state <> 'failed'
               ORDER BY one.id DESC LIMIT %(counted)s) newest
        ORDER BY id DESC LIMIT %(most)s) earlier
  JOIN sessions_app_commandrun read ON read.id = earlier.id
 WHERE held.id = ANY (%(held)s)
 ORDER BY held.id, read.id DESC"""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """One earlier result: the run that returned it, its line, and when it ended.

    ``size`` is in bytes. ``rows`` is None unless it is the result of a statement. ``sources`` are the
    arguments of the held command that are values of this result.
    """

    run: int
    line: str
    at: dt.datetime
    untrusted: bool
    size: int
    rows: int | None
    sources: list[ValueSource] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadBefore:
    """The latest results before a held command, newest first, and how many more there are."""

    results: list[ReadResult] = field(default_factory=list)
    more: int = 0

    @property
    def total(self) -> int:
        """How many results there are, at most `COUNTED` + `MOST`."""
        return len(self.results) + self.more

    @property
    def untrusted(self) -> int:
        """How many of these results can contain text from outsiders."""
        return sum(one.untrusted for one in self.results)


def read_before(runs: Iterable[CommandRun]) -> dict[int, ReadBefore]:
    """Return what was read before each of these held commands by the ids of their runs, in one query.

    Runs on clusters whose results Stint does not see are left out.
    """
    found = {run.pk: ReadBefore() for run in runs if run.grant.cluster.kind in KINDS}
    sources = {run.pk: sources_in(run.notes) for run in runs if run.pk in found}
    rows = ask(_READ, held=list(found), most=MOST, counted=COUNTED + MOST) if found else ()
    counts: dict[int, int] = {}
    for held, run, line, at, untrusted, size, counted_rows, many in rows:
        used = [one for one in sources[held] if one.run == run]
        found[held].results.append(ReadResult(run, line, at, untrusted, size, counted_rows, used))
        counts[held] = many
    return {pk: ReadBefore(one.results, counts.get(pk, 0) - len(one.results)) for pk, one in found.items()}
