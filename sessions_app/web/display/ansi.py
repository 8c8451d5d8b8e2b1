"""Renders a command's output as a terminal would, as text and as HTML with CSS classes. The result contains
no active content.

Of ECMA-48, only graphic rendition (SGR) is kept: bold, dim, italic, underline, strikethrough, and colors
mapped to a fixed palette of sixteen. All other sequences are removed. After a carriage return, new text
overwrites the line from its start.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

# Matches control sequences, OSC and other string sequences, and two-byte escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)(?P<sgr>[0-9:;]*)m"
    r"|\x1b\[[0-?]*["
    r" -/]*[@-~]|[\x90\x98\x9d\x9e\x9f].*?(?:\x07|\x1b\\|\x9c|$)|\x1b[P\]X^_].*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x9b[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
# The remaining C0 and C1 controls.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Characters that reorder or hide text (Unicode TR 36). Removed so that a log line reads as it was written.
_HIDING = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")

# The sixteen colors of xterm. Other colors are mapped to the nearest of them.
_XTERM = (
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
)
_CUBE = (0, 95, 135, 175, 215, 255)


@dataclass(frozen=True, slots=True)
class Style:
    """The style of some characters. Colors are indices of the palette; None is the default."""

    fg: int | None = None
    bg: int | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    inverse: bool = False

    @property
    def classes(self) -> str:
        """The CSS classes of the style. A background color sets its own text color, so that all combinations
        are readable.
        """
        fg, bg = (self.bg, self.fg) if self.inverse else (self.fg, self.bg)
        found = []
        if bg is not None:
            found.append(f"a-b{bg}")
        elif self.inverse and fg is None:
            found.append("a-n")
        elif fg is not None:
            found.append(f"a-f{fg}")
        elif self.dim:
            found.append("a-d")
        marks = (("a-w", self.bold), ("a-i", self.italic), ("a-u", self.underline), ("a-s", self.strike))
        return " ".join([*found, *(name for name, on in marks if on)])


PLAIN = Style()
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_OFF = {
    22: ("bold", "dim"),
    21: ("bold",),
    23: ("italic",),
    24: ("underline",),
    27: ("inverse",),
    29: ("strike",),
}


def plain(text: str) -> str:
    """Return terminal output as plain text without escape sequences, hidden characters, or controls other
    than newline and tab.

    The result is not escaped; templates escape it for HTML.
    """
    return "".join(piece for _, piece in _pieces(*_stripped(text)))


def render(text: str) -> SafeString:
    """Return terminal output as HTML: escaped text in spans that use only the palette's classes."""
    parts = []
    for style, piece in _pieces(*_stripped(text)):
        classes = style.classes
        parts.append(f'<span class="{classes}">{escape(piece)}</span>' if classes else escape(piece))
    return mark_safe("".join(parts))  # noqa: S308  # every piece is escaped, and classes come from the table above


def _stripped(raw: str) -> tuple[str, list[Style]]:
    """Return the text without escape sequences, and the style of each of its characters."""
    text: list[str] = []
    styles: list[Style] = []
    style, at = PLAIN, 0
    for found in _ESCAPES.finditer(raw):
        text.append(raw[at : found.start()])
        styles.extend([style] * (found.start() - at))
        at = found.end()
        if found["sgr"] is not None:
            style = _changed(style, found["sgr"])
    text.append(raw[at:])
    styles.extend([style] * (len(raw) - at))
    return "".join(text), styles


def _pieces(text: str, styles: Sequence[Style]) -> Iterator[tuple[Style, str]]:
    start = 0
    while start <= len(text):
        stop = text.find("\n", start)
        end = len(text) if stop < 0 else stop
        # A carriage return directly before a newline is part of the line ending.
        shown_end = end - 1 if stop >= 0 and end > start and text[end - 1] == "\r" else end
        for style, places in groupby(_overwritten(text, start, shown_end), key=styles.__getitem__):
            piece = _HIDING.sub(
                "\N{REPLACEMENT CHARACTER}", _CONTROLS.sub("", "".join(map(text.__getitem__, places)))
            )
            if piece:
                yield style, piece
        if stop < 0:
            return
        yield PLAIN, "\n"
        start = stop + 1


def _overwritten(text: str, start: int, end: int) -> Iterable[int]:
    """Return the positions of the characters in a line that are still visible after its carriage returns."""
    if text.find("\r", start, end) < 0:
        return range(start, end)
    parts = []
    for part in text[start:end].split("\r"):
        parts.append((start, start + len(part)))
        start += len(part) + 1
    shown: list[int] = []
    # The last segment that reaches a column is the visible one, so process the segments backwards.
    for begin, stop in reversed(parts):
        shown.extend(range(begin + len(shown), stop))
    return shown


def _changed(style: Style, parameters: str) -> Style:
    """Return the style after one SGR sequence. Unknown parameters are ignored."""
    codes = [[int(number[:5] or 0) for number in code.split(":")] for code in parameters[:200].split(";")]
    at = 0
    while at < len(codes):
        code = codes[at][0]
        if code in (38, 48):
            color, used = _color(codes[at], codes[at + 1 :])
            at += used
            if color is not None:
                style = replace(style, fg=color) if code == 38 else replace(style, bg=color)
        else:
            style = _simple(style, code, codes[at])
        at += 1
    return style


def _simple(style: Style, code: int, parts: Sequence[int]) -> Style:
    if code == 0:
        return PLAIN
    if code in _FLAGS:
        # `4:0` turns the underline off.
        return replace(style, **{_FLAGS[code]: len(parts) < 2 or parts[1] != 0})
    if code in _OFF:
        return replace(style, **dict.fromkeys(_OFF[code], False))
    if 30 <= code <= 37 or 90 <= code <= 97:
        return replace(style, fg=code - 30 if code < 90 else code - 82)
    if 40 <= code <= 47 or 100 <= code <= 107:
        return replace(style, bg=code - 40 if code < 100 else code - 92)
    if code == 39:
        return replace(style, fg=None)
    return replace(style, bg=None) if code == 49 else style


def _color(own: Sequence[int], rest: Sequence[Sequence[int]]) -> tuple[int | None, int]:
    """Return the palette index of an extended color, and the number of additional codes it used."""
    if len(own) > 1:
        numbers, used = list(own[1:]), 0
        if numbers[0] == 2 and len(numbers) > 4:
            # `38:2:<color space>:r:g:b`
            del numbers[1]
    else:
        numbers = [code[0] for code in rest[:4]]
        used = {5: 2, 2: 4}.get(numbers[0] if numbers else 0, 0)
    if numbers[:1] == [5] and len(numbers) > 1:
        return indexed(min(numbers[1], 255)), used
    if numbers[:1] == [2] and len(numbers) > 3:
        red, green, blue = (min(number, 255) for number in numbers[1:4])
        return nearest(red, green, blue), used
    return None, used


def indexed(number: int) -> int:
    """Return the palette color for one of xterm's 256 colors."""
    if number < 16:
        return number
    if number >= 232:
        return nearest(*[8 + 10 * (number - 232)] * 3)
    number -= 16
    return nearest(_CUBE[number // 36], _CUBE[number // 6 % 6], _CUBE[number % 6])


@functools.lru_cache(maxsize=4096)
def nearest(red: int, green: int, blue: int) -> int:
    """Return the palette color nearest to a true color."""
    return min(
        range(16),
        key=lambda index: sum(
            (one - other) ** 2 for one, other in zip(_XTERM[index], (red, green, blue), strict=True)
        ),
    )
