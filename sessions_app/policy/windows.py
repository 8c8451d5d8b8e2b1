"""Freezes, and recurring windows in local time that are correct across daylight saving time changes.

If a local time does not exist or occurs twice, a window never gets longer: a start is the later instant, an
end the earlier one.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import zoneinfo
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from broker.kernel.zones import time_zones

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_LOOK_AHEAD_DAYS = 60


def _zone(name: str) -> str:
    if name not in time_zones():
        raise ValueError(f"{name!r} is not an IANA time zone; use a name like Europe/Berlin")
    return name


def _clock_time(value: object) -> dt.time:
    # YAML 1.1 parses an unquoted 02:00 as a base-60 number.
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a time of day in quotes, such as "02:00"')
    return dt.time(int(match[1]), int(match[2]))


Zone = Annotated[str, AfterValidator(_zone)]
ClockTime = Annotated[
    dt.time,
    BeforeValidator(_clock_time),
    PlainSerializer(lambda time: f"{time:%H:%M}", return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}),
]


class Window(BaseModel):
    """A recurring window on these days, between these local times. If `to` is at or before `from`, it is on
    the next day.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        min_length=1, description="The days on which the window begins", examples=[["mon", "tue"]]
    )
    start: ClockTime = Field(
        alias="from", description="The local time at which the window begins, in quotes", examples=["02:00"]
    )
    end: ClockTime = Field(
        alias="to",
        description="The local time at which the window ends, in quotes. If at or before `from`, it is on "
        "the next day",
        examples=["05:00"],
    )
    zone: Zone = Field(description="The IANA time zone of these times", examples=["Europe/Berlin"])

    def occurrences(
        self, after: dt.datetime, days: int = _LOOK_AHEAD_DAYS
    ) -> Iterator[tuple[dt.datetime, dt.datetime]]:
        """Yield (start, end) in UTC of each occurrence that ends after the instant, earliest first."""
        first = after.astimezone(zoneinfo.ZoneInfo(self.zone)).date() - dt.timedelta(days=2)
        for offset in range(days + 3):
            day = first + dt.timedelta(days=offset)
            if DAYS[day.weekday()] not in self.days:
                continue
            last_day = day if self.end > self.start else day + dt.timedelta(days=1)
            start = max(_instants(day, self.start, self.zone))
            end = min(_instants(last_day, self.end, self.zone))
            if start < end and end > after:
                yield start, end


class Freeze(BaseModel):
    """A period in which no planned access can run."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: dt.datetime = Field(alias="from", description="When it begins")
    end: dt.datetime = Field(alias="to", description="When it ends")
    reason: str = Field(min_length=1, max_length=200, description="The reason, as shown to requesters")

    @model_validator(mode="after")
    def _in_order(self) -> Freeze:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("the times of a freeze need a time zone, such as 2026-12-20T00:00:00+01:00")
        if self.start >= self.end:
            raise ValueError("a freeze must end after it starts")
        return self

    def touches(self, start: dt.datetime, end: dt.datetime) -> bool:
        """Whether any instant of [start, end) is frozen."""
        return self.start < end and start < self.end


# Cached, because the same days and times recur in every evaluated request, and zone lookups dominate the
# cost.
@functools.lru_cache(maxsize=8192)
def _instants(day: dt.date, time: dt.time, zone: str) -> tuple[dt.datetime, dt.datetime]:
    """Return the two instants that a local time can mean.

    They differ only around a daylight saving time change.
    """
    local = dt.datetime.combine(day, time, tzinfo=zoneinfo.ZoneInfo(zone))
    first, second = (local.replace(fold=fold).astimezone(dt.UTC) for fold in (0, 1))
    return first, second


def covering(windows: Iterable[Window], start: dt.datetime, end: dt.datetime) -> bool:
    """Whether windows cover all of [start, end]. Adjacent windows count as one."""
    return allowed(windows, start, end) == [(start, end)]


def upcoming(
    windows: Iterable[Window], after: dt.datetime, count: int = 3
) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return the next occurrences that have not ended, merged where they touch, earliest first.

    Looks ahead 60 days; a longer period is cut off (`is_cut_off`).
    """
    found = [pair for window in windows for pair in window.occurrences(after)]
    return _joined(sorted(found))[:count]


def is_cut_off(period: tuple[dt.datetime, dt.datetime], after: dt.datetime) -> bool:
    """Whether a period from `upcoming` may be longer, because the search ended."""
    return period[1] > after + dt.timedelta(days=_LOOK_AHEAD_DAYS - 1)


def next_free(windows: Iterable[Window], after: dt.datetime, seconds: int) -> tuple[dt.datetime | None, int]:
    """Return the first time with ``seconds`` inside windows, and the longest available time in seconds.

    The first value is None if there is no such time. Looks ahead only as far as `upcoming`.
    """
    found = allowed(windows, after, after + dt.timedelta(days=_LOOK_AHEAD_DAYS))
    fitting = (opens for opens, closes in found if (closes - opens).total_seconds() >= seconds)
    longest = max((int((closes - opens).total_seconds()) for opens, closes in found), default=0)
    return next(fitting, None), longest


def allowed(
    windows: Iterable[Window], start: dt.datetime, end: dt.datetime
) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return the parts of [start, end) that are in a window, merged where they touch, earliest first."""
    days = max(0, (end - start).days) + 2
    found = sorted(
        (max(opens, start), min(closes, end))
        for window in windows
        for opens, closes in window.occurrences(start, days=days)
        if opens < end
    )
    return _joined(found)


def _joined(found: Iterable[tuple[dt.datetime, dt.datetime]]) -> list[tuple[dt.datetime, dt.datetime]]:
    """Merge periods that touch. The periods must be sorted."""
    joined: list[tuple[dt.datetime, dt.datetime]] = []
    for opens, closes in found:
        if joined and opens <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], closes))
        else:
            joined.append((opens, closes))
    return joined


def frozen(
    freezes: Iterable[Freeze], start: dt.datetime, end: dt.datetime
) -> list[tuple[dt.datetime, dt.datetime, str]]:
    """Return the part of each freeze that is in [start, end), with its reason, earliest first."""
    return sorted(
        (max(freeze.start, start), min(freeze.end, end), freeze.reason)
        for freeze in freezes
        if freeze.touches(start, end)
    )
