"""Output for people: tables that fit the terminal, local times, progress, and color on terminals only."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

# Control characters, and characters that change the text direction. A name must not control the reader's
# terminal.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Parts of a command's output that must not reach the reader's terminal: escape sequences, and control
# characters other than newlines and tabs.
_DRAWS = re.compile(
    "\x1b\\[[0-9;?]*["
    " -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
_NARROWEST = 8
# The words of the web pages for states and reasons, if they differ from the names in the API.
_WORDS = {
    "provisioning": "starting",
    "revoking": "ending",
    "lapsed": "expired",
    "break_glass": "break-glass",
    "held": "waiting for a second person",
    "hold_denied": "denied by a second person",
    "hold_lapsed": "timed out",
    "hold_withdrawn": "withdrawn",
    "allowed": "starting",
    "cut": "terminated",
    "failed": "failed to start",
    "released": "ended by the holder",
    "identity_disabled": "holder disabled",
    "provision_failed": "could not be started",
    "deviation": "too many refused commands",
    "silent": "heartbeat missed",
    "parent_ended": "parent grant ended",
    "restored": "database restored from a backup",
    "budget_used": "budget used up",
}
_COLORS = {
    "active": "green",
    "approved": "green",
    "done": "green",
    "allowed": "green",
    "starts": "green",
    "yes": "green",
    "pending": "yellow",
    "scheduled": "yellow",
    "provisioning": "yellow",
    "revoking": "yellow",
    "held": "yellow",
    "suspended": "yellow",
    "running": "cyan",
    "needs_approval": "yellow",
    "denied": "red",
    "refused": "red",
    "lapsed": "red",
    "failed": "red",
    "cut": "red",
    "hold_denied": "red",
    "hold_lapsed": "red",
}


def plain(value: object) -> str:
    """Return untrusted text without characters that control a terminal."""
    return _UNSHOWN.sub("�", str(value))


def plain_output(text: str) -> str:
    """Return a command's output without escape sequences and control characters."""
    return _DRAWS.sub("", text)


def spoken(state: object) -> str:
    """Return the word of the web pages for a state or an end reason, in lowercase."""
    text = plain(state or "")
    return _WORDS.get(text, text.replace("_", " "))


def word(state: object) -> str:
    """Return the word for a state, in the state's color."""
    return click.style(spoken(state), fg=_COLORS.get(str(state)))


def colored(state: str, text: str) -> str:
    """Return text in the color of a state."""
    return click.style(text, fg=_COLORS.get(state))


def strong(text: str) -> str:
    """Return a heading."""
    return click.style(text, bold=True)


def say(text: str = "", *, err: bool = False) -> None:
    """Write a line."""
    click.echo(text, err=err, color=False if os.environ.get("NO_COLOR") else None)


def say_json(value: Any, *, lines: bool = False, err: bool = False) -> None:
    """Write a JSON document; with ``lines``, on one line. Control characters are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=None if lines else 2)
    click.echo(_UNSHOWN.sub(_escaped, text), err=err, color=False)
    sys.stdout.flush()


def _escaped(found: re.Match[str]) -> str:
    # Every line feed here separates lines of the document, because JSON escapes line feeds in strings.
    return found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}"


# Time


def moment(text: str | None) -> dt.datetime | None:
    """Parse a time from the API."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None  # noqa: FURB162  # also accepts times without Z


def clock_time(text: str | None) -> str:
    """Return `15:04` for today, otherwise `27 Nov 15:04`, in the machine's time zone."""
    when = moment(text)
    if when is None:
        return "-"
    here = when.astimezone()
    today = dt.datetime.now(dt.UTC).astimezone().date()
    return here.strftime("%H:%M") if here.date() == today else here.strftime("%-d %b %H:%M")


def ago(text: str | None) -> str:
    """Return `3 min ago` or `in 42 min`."""
    when = moment(text)
    if when is None:
        return "-"
    seconds = round((when - dt.datetime.now(dt.UTC)).total_seconds())
    return f"in {span(seconds)}" if seconds >= 0 else f"{span(-seconds)} ago"


def span(seconds: float) -> str:
    """Return `45 s`, `12 min`, `1 h 30 min` or `2 d 3 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


# Tables


def width_of(text: str) -> int:
    """Return the width of a string in terminal cells."""
    shown = click.unstyle(text)
    return sum(_cells(letter) for letter in shown)


def _cells(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Callable[[Any], str]], *, empty: str
) -> None:
    """Write rows under headings.

    Columns that do not fit are shortened, the widest first. If that is not enough, each row is split into
    several lines. In a pipe, columns are not shortened.
    """
    if not rows:
        say(empty, err=True)
        return
    cells = [[show(row) for show in columns.values()] for row in rows]
    heads = list(columns)
    widths = [max(map(width_of, column)) for column in zip(heads, *cells, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10**6
    fitted = _fitted(widths, [len(head) for head in heads], room)
    if fitted is None:
        _blocks(heads, cells)
        return
    say(strong(_line(heads, fitted)))
    for row in cells:
        say(_line(row, fitted))


def _fitted(widths: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Return column widths that fit into ``room`` cells, or None if that is impossible."""
    fitted = list(widths)
    floors = [min(width, max(low, _NARROWEST)) for width, low in zip(widths, least, strict=True)]
    while sum(fitted) + 2 * (len(fitted) - 1) > room:
        slack, index = max((fitted[i] - floors[i], i) for i in range(len(fitted)))
        if slack <= 0:
            return None
        fitted[index] -= 1
    return fitted


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_padded(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _padded(text: str, width: int) -> str:
    if width_of(text) > width:
        text = _cut(click.unstyle(text), width)
    return text + " " * (width - width_of(text))


def _cut(text: str, width: int) -> str:
    kept, used = "", 0
    for letter in text:
        used += _cells(letter)
        if used > width - 1:
            break
        kept += letter
    return f"{kept}…"


def _blocks(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(cells):
        if number:
            say()
        facts(dict(zip(heads, row, strict=True)))


def facts(pairs: Mapping[str, str], *, err: bool = False) -> None:
    """Write names and values, one pair per line. Empty values are omitted."""
    shown = {name: value for name, value in pairs.items() if value}
    wide = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        first, *others = value.split("\n")
        say(f"{click.style(name.ljust(wide), dim=True)}  {first}", err=err)
        for line in others:
            say(f"{' ' * wide}  {line}", err=err)


# Progress


class Progress:
    """A progress line on standard error, redrawn on a terminal and written once per change elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._live = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._said = ""

    def show(self, text: str, *, counted: str = "") -> None:
        """Show the progress. ``counted`` is a part of the text that changes constantly, so it is shown only
        on terminals.
        """
        if self._live:
            room = shutil.get_terminal_size().columns - 1
            line = f"{text} {counted}".rstrip()
            sys.stderr.write("\r\x1b[K" + (line if width_of(line) <= room else _cut(line, room)))
            sys.stderr.flush()
        elif text != self._said and not self._quiet:
            say(text, err=True)
        self._said = text

    def done(self) -> None:
        """Remove the line."""
        if self._live and self._said:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self._said = ""


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Show a progress line, and remove it at the end."""
    line = Progress(quiet=quiet)
    try:
        yield line
    finally:
        line.done()
