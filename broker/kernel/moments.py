"""Times as text, in a person's time zone, and in UTC if that differs."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass


def say_day(day: dt.date) -> str:
    """Return a day: `Sat 28 Nov`."""
    return f"{day:%a} {day.day} {day:%b}"


def in_utc(moments: tuple[dt.datetime, ...], zone: dt.tzinfo) -> str:
    """Return times in UTC, in parentheses, with their days if one of them differs from the local day. Empty
    if the zone is UTC.
    """
    local = [moment.astimezone(zone) for moment in moments]
    if not any(one.utcoffset() for one in local):
        return ""
    there = [moment.astimezone(dt.UTC) for moment in moments]
    dated = any(one.date() != other.date() for one, other in zip(there, local, strict=True))
    said = " to ".join(f"{say_day(one)}, {one:%H:%M}" if dated else f"{one:%H:%M}" for one in there)
    return f" ({said} UTC)"


@dataclass(frozen=True, slots=True)
class Sayer:
    """A formatter of times for one person, for text that may be read on another day."""

    zone: dt.tzinfo

    @classmethod
    def of(cls, time_zone: str) -> Sayer:
        """Return the formatter for an IANA time zone, or for UTC if it is unknown, so that people are
        notified in any case.
        """
        try:
            return cls(zoneinfo.ZoneInfo(time_zone))
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            return cls(dt.UTC)

    def moment(self, moment: dt.datetime) -> str:
        """Return `Sat 28 Nov 2026, 02:00 CET (01:00 UTC)`."""
        local = moment.astimezone(self.zone)
        return f"{say_day(local)} {local.year}, {self.hour(moment)}"

    def hour(self, moment: dt.datetime) -> str:
        """Return `02:00 CET (01:00 UTC)`."""
        local = moment.astimezone(self.zone)
        return f"{local:%H:%M %Z}{in_utc((moment,), self.zone)}"
