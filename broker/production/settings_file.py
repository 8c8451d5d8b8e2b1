"""The environment file: the settings of this machine, then all other settings, with their meaning."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from broker.env import Group, Variable
from broker.variables import GROUPS

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_PLAIN = re.compile(r"[\w@%+=:,./?&\[\]~-]*")


class UnsafeValueError(ValueError):
    """A value can't be in a file that both systemd and sh read."""


def settings_file(values: Mapping[str, str], *, without: Iterable[str] = ()) -> str:
    """Return the text of the file, in the common syntax of systemd.exec(5) (EnvironmentFile=) and sh.

    Settings in `values` are set, those in `without` are omitted, and all others are comments. Raises
    UnsafeValueError.
    """
    return "\n".join(_group(group, values, set(without)) for group in GROUPS)


def _group(group: Group, values: Mapping[str, str], without: set[str]) -> str:
    lines = [f"# --- {group.title} ---", ""]
    for variable in group.variables:
        if variable.name not in without:
            lines += [*_comment(variable), _line(variable.name, values), ""]
    return "\n".join(lines)


def _comment(variable: Variable[object]) -> Iterator[str]:
    for text in (variable.meaning, f"Default: {variable.default}."):
        plain = _LINK.sub(r"\1", text).replace("`", "")
        yield from (f"# {line}" for line in textwrap.wrap(plain, 108, break_on_hyphens=False))


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
