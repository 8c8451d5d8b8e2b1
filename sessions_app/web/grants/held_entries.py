"""What the log of a grant shows to people who can decide its held commands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from accounts.models import Identity
from sessions_app.queries.grants.read_before import ReadBefore, read_before
from sessions_app.queries.requests.alike import together
from sessions_app.web.display.held import HoldGroup, confirms_first, hold_group
from sessions_app.web.grants.log import Log


class HeldEntries(NamedTuple):
    """The commands that wait alike, what was read before each command by the id of its run, and whether the
    reader must first confirm their identity to allow one.
    """

    groups: Sequence[HoldGroup]
    reads: Mapping[int, ReadBefore]
    confirm: bool


def held_entries(log: Log, reader: Identity, now: dt.datetime) -> HeldEntries:
    """Return this for the commands on a page of a log that the reader can decide."""
    runs = [entry.run for entry in log.entries if entry.may_decide]
    runs.sort(key=lambda run: (run.hold_lapses_at, run.pk))
    reads = read_before(runs)
    return HeldEntries(
        [hold_group(group, reads, reader, now) for group in together(runs) if len(group) > 1],
        reads,
        any(confirms_first(run, reader, now) for run in runs),
    )
