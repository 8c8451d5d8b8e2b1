"""Periods of whole days in a reader's time zone, divided into days or weeks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import DateField, Func, Value
from django.db.models.functions import Cast, TruncDate, TruncWeek

# Periods of more days are divided into weeks.
MOST_DAYS = 31


def percentile(share: float, column: str) -> str:
    """Return the SQL for a percentile of a column, interpolated between two values.

    ``share`` is from 0 to 1.
    """
    return f"percentile_cont({share}) WITHIN GROUP (ORDER BY {column})"


class Earliest(Func):
    """The earlier of two times. Missing times are ignored (PostgreSQL's LEAST)."""

    function = "LEAST"


class Latest(Func):
    """The latest of several times or durations. Missing values are ignored (PostgreSQL's GREATEST)."""

    function = "GREATEST"


class Part(NamedTuple):
    """One day or week of a period: its first and last day, both inclusive."""

    first: dt.date
    last: dt.date


@dataclass(frozen=True, slots=True)
class Period:
    """The last ``days`` days, including today, in a time zone."""

    days: int
    today: dt.date
    zone: ZoneInfo

    @property
    def first(self) -> dt.date:
        """The first day."""
        return self.today - dt.timedelta(days=self.days - 1)

    @property
    def since(self) -> dt.datetime:
        """The start of the first day, inclusive."""
        return dt.datetime.combine(self.first, dt.time(), self.zone).astimezone(dt.UTC)

    @property
    def until(self) -> dt.datetime:
        """The end of the last day, exclusive."""
        return dt.datetime.combine(self.today + dt.timedelta(days=1), dt.time(), self.zone).astimezone(dt.UTC)

    @property
    def by_week(self) -> bool:
        """Whether the parts are weeks, from Monday to Sunday."""
        return self.days > MOST_DAYS

    @property
    def parts(self) -> Sequence[Part]:
        """The days, or the weeks limited to the days in the period, oldest first."""
        days = [self.first + dt.timedelta(days=number) for number in range(self.days)]
        if not self.by_week:
            return [Part(day, day) for day in days]
        weeks: dict[dt.date, list[dt.date]] = {}
        for day in days:
            weeks.setdefault(day - dt.timedelta(days=day.weekday()), []).append(day)
        return [Part(within[0], within[-1]) for within in weeks.values()]

    def part_of(self, field: str) -> TruncDate | Latest:
        """Return an expression for the first day of the part that a time belongs to."""
        if not self.by_week:
            return TruncDate(field, tzinfo=self.zone)
        week = Cast(TruncWeek(field, tzinfo=self.zone), DateField())
        return Latest(week, Value(self.first, DateField()), output_field=DateField())


def by_part_and_whole(*figures: str) -> str:
    """Return the statement around rows (`tabled`) for the figures of each part of a period, oldest first,
    then those of the whole period.

    The rows have a column ``part``; ``figures`` are SQL aggregates over their columns. The part of the whole
    period is None. One statement reads the rows once for both.
    """
    return f"""
SELECT part, {", ".join(figures)} FROM ({{}}) AS found
 GROUP BY GROUPING SETS ((part), ()) ORDER BY part NULLS LAST
"""  # noqa: S608  # fixed text


def seconds(duration: dt.timedelta | None) -> float | None:
    """Return a duration in seconds; None if there is none."""
    return None if duration is None else max(0.0, duration.total_seconds())
