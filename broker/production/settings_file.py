"""The environment file: every setting with its description from the guide, and the values of this machine."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "templates" / "docs" / "deploying.md"
_ROW = re.compile(r"^\| (?P<names>`[A-Z].*?) \| (?P<meaning>.*) \|$", re.MULTILINE)
_NAME = re.compile(r"`([A-Z][A-Z_]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_PLAIN = re.compile(r"[\w@%+=:,./?&\[\]~-]*")


class UnsafeValueError(ValueError):
    """A value can't be written to a file that both systemd and sh read."""


def meanings() -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the names in each row of the guide's table of settings, with their description."""
    for row in _ROW.finditer(GUIDE.read_text(encoding="utf-8")):
        meaning = _LINK.sub(r"\1", row["meaning"]).replace("`", "")
        yield tuple(_NAME.findall(row["names"])), meaning


def settings_file(values: Mapping[str, str], *, without: Iterable[str] = ()) -> str:
    """Return the text of the file, in the common syntax of systemd.exec(5) (EnvironmentFile=) and sh.

    Settings in `values` are set, those in `without` are omitted, and all others are comments. Raises UnsafeValueError.
    """
    omitted = set(without)
    parts = []
    for names, meaning in meanings():
        if kept := [name for name in names if name not in omitted]:
            said = textwrap.fill(
                meaning, 110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
            )
            parts.append("\n".join([said, *(_line(name, values) for name in kept)]))
    return "\n\n".join(parts) + "\n"


def _line(name: str, values: Mapping[str, str]) -> str:
    for given in (name, f"{name}_FILE"):
        if given in values:
            return f"{given}={_quoted(values[given])}"
    return f"#{name}="


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    if set(value) & set("'\"\\$`\n"):
        raise UnsafeValueError(
            "A value contains a quote, a backslash, a dollar sign or a line break. Choose another value."
        )
    return f"'{value}'"
