"""The timeline's query: the period, the kind of rows, and the filters."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from django.utils.dateformat import format as date_format

from sessions_app.web.forms.times import at_hour


class By(StrEnum):
    """The kind of the chart's rows."""

    CLUSTER = "cluster"
    PERSON = "person"
    MACHINE = "machine"


class Zoom(StrEnum):
    """The period that the chart covers."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Show(StrEnum):
    """The kind of bars to show."""

    ASKED = "asked"
    LATER = "later"
    ACTIVE = "active"
    ENDED = "ended"
    REFUSED = "refused"
    URGENT = "urgent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A timeline query. Empty filters match everything.

    ``day`` is any day of the period, in the reader's time zone. A single day can be limited to the hours from
    ``since`` to ``until``. If ``until`` is not later than ``since``, it is on the next day.
    """

    by: By = By.CLUSTER
    zoom: Zoom = Zoom.DAY
    day: dt.date
    cluster: str = ""
    person: str = ""
    state: str = ""
    since: dt.time | None = None
    until: dt.time | None = None

    @property
    def has_hours(self) -> bool:
        """Whether the period is only part of a day."""
        return self.zoom == Zoom.DAY and (self.since is not None or self.until is not None)

    @property
    def first(self) -> dt.date:
        """The first day of the period."""
        if self.zoom == Zoom.MONTH:
            return self.day.replace(day=1)
        return self.day - dt.timedelta(days=self.day.weekday()) if self.zoom == Zoom.WEEK else self.day

    @property
    def after(self) -> dt.date:
        """The first day of the next period."""
        if self.zoom == Zoom.MONTH:
            return (self.first + dt.timedelta(days=31)).replace(day=1)
        return self.first + dt.timedelta(days=7 if self.zoom == Zoom.WEEK else 1)

    @property
    def before(self) -> dt.date:
        """The last day of the previous period."""
        return self.first - dt.timedelta(days=1)

    @property
    def is_day(self) -> bool:
        """Whether the period is a single day, so that hours can be selected."""
        return self.zoom == Zoom.DAY

    @property
    def is_narrowed(self) -> bool:
        """Whether any filter is active."""
        return bool(self.cluster or self.person or self.state or self.has_hours)

    @property
    def heading(self) -> str:
        """The period as text: `Saturday, 28 November 2026, 02:00 to 06:00`."""
        if self.zoom == Zoom.MONTH:
            return date_format(self.first, "F Y")
        if self.zoom == Zoom.WEEK:
            last = self.after - dt.timedelta(days=1)
            days = f"{date_format(self.first, 'j F')} to {date_format(last, 'j F Y')}"
            return f"{days}, week {date_format(self.first, 'W')}"
        day = date_format(self.first, "l, j F Y")
        if not self.has_hours:
            return day
        return f"{day}, {self.since or dt.time():%H:%M} to {f'{self.until:%H:%M}' if self.until else '24:00'}"

    def stretch(self) -> tuple[dt.datetime, dt.datetime]:
        """Return the period's start and end in UTC. A day on which the clocks change has 23 or 25 hours."""
        if not self.has_hours:
            return at_hour(self.first), at_hour(self.after)
        since = self.since or dt.time()
        last = self.first if self.until is not None and self.until > since else self.after
        return at_hour(self.first, since), at_hour(last, self.until)
