"""Parse durations, days and hours that people type into forms."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone
from django.utils.dateparse import parse_time

from broker.kernel.errors import InvalidInput
from sessions_app.policy.durations import parse_duration


def typed_duration(text: str) -> int:
    """Return a duration from a form in seconds. Raises InvalidInput."""
    try:
        return parse_duration(text)
    except ValueError as error:
        why = f"{error}." if text else "Use a format like 30m, 4h or 1h 30m."
        raise InvalidInput(
            "Enter a duration.", hint=why, fields={"duration": [f"Enter a duration. {why}"]}
        ) from error


def parse_start(day: str, hour: str, prefix: str = "") -> dt.datetime | None:
    """Convert a date and a time of day in the reader's time zone; return None if both are empty.

    The fields are named ``day`` and ``hour``, after the prefix. Raises InvalidInput if one is missing or
    invalid, or if clocks skip that time when they go forward.
    """
    if not day and not hour:
        return None
    if not day or not hour:
        lacks, name = ("time", "hour") if day else ("date", "day")
        raise InvalidInput(f"Add the {lacks}.", fields={prefix + name: [f"Add the {lacks}."]})
    try:
        local = dt.datetime.fromisoformat(f"{day}T{hour}")
    except ValueError as error:
        raise InvalidInput(
            "The start isn't a valid date and time.",
            hint="Use a format like 2026-11-28 and 02:00, or leave both empty.",
            fields={f"{prefix}day": ["Not a valid date and time."]},
        ) from error
    moment = local.replace(tzinfo=timezone.get_current_timezone())
    try:
        there_and_back = moment.astimezone(dt.UTC).astimezone(moment.tzinfo).replace(tzinfo=None)
    except OverflowError as error:
        raise InvalidInput(
            "The start is too far in the future.",
            hint="Choose an earlier date.",
            fields={f"{prefix}day": ["Too far in the future."]},
        ) from error
    if there_and_back != local:
        raise InvalidInput(
            f"{hour} does not exist on {day} in {timezone.get_current_timezone_name()}: clocks go forward"
            " then.",
            hint="Choose an earlier or a later time.",
            fields={f"{prefix}hour": ["Does not exist on that day."]},
        )
    return moment


def parse_hour(text: str) -> dt.time | None:
    """Convert a typed time of day such as `14:00`; return None if the text is invalid."""
    try:
        return parse_time(text)
    except ValueError:
        return None


def at_hour(day: dt.date, hour: dt.time | None = None) -> dt.datetime:
    """Return a time of day on a day in the reader's time zone, converted to UTC. Without a time of day, use
    midnight.
    """
    return timezone.make_aware(dt.datetime.combine(day, hour or dt.time())).astimezone(dt.UTC)
