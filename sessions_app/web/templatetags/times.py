"""Tags and filters that format durations, and times in the reader's time zone."""

from __future__ import annotations

import datetime as dt
import html

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from broker.kernel.moments import in_utc, say_day
from sessions_app.policy.durations import say_duration, show_duration
from sessions_app.web.moment import page_now

register = template.Library()

_SAY = SafeString(" data-say")


def _time(moment: dt.datetime, text: str) -> SafeString:
    utc = moment.astimezone(dt.UTC)
    # Lists have hundreds of times.
    return SafeString(
        f'<time datetime="{utc.isoformat()}" title="{utc:%Y-%m-%d %H:%M:%S} UTC">{html.escape(text)}</time>'
    )


def say_moment(moment: dt.datetime, now: dt.datetime, *, dated: bool = False) -> str:
    """Return a time in the reader's time zone.

    Today's times look like `14:02 CET`, others like `Sat 28 Nov, 02:00 CET`, with the year unless it is the
    current one. With ``dated``, today's times also have a date.
    """
    zone = timezone.get_current_timezone()
    local, today = moment.astimezone(zone), now.astimezone(zone)
    hour = f"{local:%H:%M %Z}"
    if local.date() == today.date() and not dated:
        return hour
    year = "" if local.year == today.year else f" {local.year}"
    return f"{say_day(local)}{year}, {hour}"


def say_both(moment: dt.datetime, now: dt.datetime) -> str:
    """Return a time in the reader's time zone, and in UTC if that differs: `14:02 CET (13:02 UTC)`."""
    return say_moment(moment, now) + in_utc((moment,), timezone.get_current_timezone())


@register.filter
def when_both(moment: dt.datetime | None) -> SafeString | str:
    """Return a time with its zone, and in UTC if that differs."""
    return "" if moment is None else _time(moment, say_both(moment, page_now()))


@register.filter
def when(moment: dt.datetime | None) -> SafeString | str:
    """Return a time with its zone. The tooltip shows UTC."""
    return "" if moment is None else _time(moment, say_moment(moment, page_now()))


@register.filter
def other_day(moment: dt.datetime) -> str:
    """Return the date of a time that is not today, to append to its time of day: ` Fri 20 Nov`."""
    local, today = timezone.localtime(moment), timezone.localtime(page_now())
    if local.date() == today.date():
        return ""
    return f" {say_day(local)}" + (f" {local.year}" if local.year != today.year else "")


@register.filter
def hour(moment: dt.datetime | None) -> SafeString | str:
    """Return the hour and minute of a time in the reader's time zone."""
    return "" if moment is None else _time(moment, f"{timezone.localtime(moment):%H:%M}")


@register.filter
def second(moment: dt.datetime | None) -> SafeString | str:
    """Return the hour, minute and second of a time in the reader's time zone."""
    return "" if moment is None else _time(moment, f"{timezone.localtime(moment):%H:%M:%S}")


@register.simple_tag
def window(start: dt.datetime, end: dt.datetime, utc: bool = False) -> SafeString:
    """Return two times: `Sat 28 Nov, 02:00 to 06:00 CET`. With ``utc``, also in UTC if that differs."""
    now = page_now()
    more = in_utc((start, end), timezone.get_current_timezone()) if utc else ""
    first, last = timezone.localtime(start), timezone.localtime(end)
    if first.date() != last.date() or first.tzname() != last.tzname():
        begin, finish = (say_moment(moment, now, dated=True) for moment in (start, end))
        if first.tzname() == last.tzname():
            begin = begin.rpartition(" ")[0]
        return format_html("{} to {}{}", _time(start, begin), _time(end, finish), more)
    begin = say_moment(start, now).rpartition(" ")[0]
    return format_html("{} to {}{}", _time(start, begin), _time(end, f"{last:%H:%M %Z}"), more)


register.filter("exactly", show_duration)


@register.filter
def duration(seconds: float | None) -> str:
    """Return a duration in seconds as text: `1 h 30 min`. Durations of an hour or more omit seconds."""
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole >= 3600:
        whole -= whole % 60
    return say_duration(whole) or "0 s"


@register.filter
def ago(moment: dt.datetime | None) -> SafeString | str:
    """Return how long ago a time was, with the time in the tooltip: `26 min ago`."""
    if moment is None:
        return ""
    seconds = max(0, int((page_now() - moment).total_seconds()))
    return _time(moment, f"{say_rough(seconds)} ago" if seconds >= 10 else "just now")


@register.filter
def since(moment: dt.datetime | None) -> str:
    """Return the time elapsed since a moment: `26 min`."""
    return "" if moment is None else say_rough(max(0, int((page_now() - moment).total_seconds())))


def say_rough(seconds: int) -> str:
    """Return a duration in seconds as text with its one or two largest units: `26 min`, `3 h 10 min`, `4
    d`.
    """
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86400:
        hours, rest = divmod(seconds, 3600)
        return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"
    return f"{seconds // 86400} d"


@register.simple_tag
def countdown(moment: dt.datetime, say: bool = False) -> SafeString:
    """Return the time left until a moment. A script counts down from the value."""
    left = max(0, round((moment - page_now()).total_seconds()))
    hours, rest = divmod(left, 3600)
    text = f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
    return format_html('<span data-left="{}"{}>{}</span>', left, _SAY if say else "", text)


@register.filter
def rough(seconds: float) -> str:
    """Return a duration in seconds as text with its one or two largest units."""
    return say_rough(int(seconds))


@register.filter
def iso(moment: dt.datetime) -> str:
    """Return a time in ISO 8601 format."""
    return moment.isoformat()
