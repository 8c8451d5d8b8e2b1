"""Read settings from environment variables. An invalid value is an error, and is never silently
replaced by a default.

This module doesn't import Django, so that launchers and settings can share it.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class EnvError(ValueError):
    """A missing or invalid environment variable. The message gives the variable and a valid value."""


def envstr(name: str, default: str | None = None) -> str:
    """Return variable `name`, or `default` if it is not set.

    Raises `EnvError` if it is not set and there is no default.
    """
    value = os.environ.get(name)
    if value is not None:
        return value.strip()
    if default is None:
        raise EnvError(f"{name} is not set. Set it in the environment.")
    return default


def envbool(name: str, default: bool) -> bool:
    """Return variable `name` as a boolean, or `default` if it is not set or empty.

    Raises `EnvError` for anything but 1, true, yes, on, 0, false, no, off.
    """
    value = envstr(name, "").lower()
    if not value:
        return default
    if value not in _TRUE | _FALSE:
        raise EnvError(f"{name} is {value!r}, which is not a boolean. Set it to 1 or 0.")
    return value in _TRUE


def envint(name: str, default: int, *, least: int | None = None) -> int:
    """Return variable `name` as a whole number, or `default` if it is not set or empty.

    Raises `EnvError` if it is not a whole number, or less than `least`.
    """
    value = envstr(name, "")
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise EnvError(
            f"{name} is {value!r}, which is not a whole number. Set it to a number such as {default}."
        ) from None
    if least is not None and number < least:
        raise EnvError(f"{name} is {number}. Set it to {least} or more.")
    return number


def envmatch(name: str, pattern: str, *, form: str) -> str:
    """Return variable `name`, or an empty string if it is not set.

    Raises `EnvError` if the value does not match `pattern`. `form` describes valid values in the message.
    """
    value = envstr(name, "")
    if value and not re.fullmatch(pattern, value):
        raise EnvError(f"{name} is {value!r}. Set it to {form}, or unset it.")
    return value


def envlist(name: str, default: Sequence[str] = ()) -> list[str]:
    """Return variable `name` split at commas, without empty items, or a copy of `default` if it is not set.

    A variable that is set but empty means an empty list.
    """
    if name not in os.environ:
        return list(default)
    return [item.strip() for item in envstr(name).split(",") if item.strip()]


def envsecret(name: str, default: str | None = None) -> str:
    """Return a secret: variable `name`, or the content of the file in `name`_FILE.

    Returns `default` if neither is set. Raises `EnvError` if both are set, the file can't be read, the value
    is empty, or nothing is set and there is no default. The message never contains the value.
    """
    direct, file = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if direct is not None and file is not None:
        raise EnvError(f"{name} and {name}_FILE are both set. Unset one of them.")
    if file is not None:
        return _not_empty(_read(f"{name}_FILE", file), f"the file {file} that {name}_FILE names")
    if direct is not None:
        return _not_empty(direct.strip(), name)
    if default is None:
        raise EnvError(f"{name} is not set. Set it, or set {name}_FILE to a file with the value.")
    return default


def _read(name: str, file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise EnvError(
            f"{name} names {file}, which can't be read ({reason}). Use a file that this account can read."
        ) from None


def _not_empty(value: str, what: str) -> str:
    if not value:
        raise EnvError(f"The secret is empty: {what}. Set the secret, or unset the variable.")
    return value


class Variable(Generic[T]):
    """One environment variable: its name, and the Markdown text that people need in order to set it."""

    def __init__(
        self, name: str, fallback: T, meaning: str, *, values: str, shown: str, read: Callable[[str, T], T]
    ) -> None:
        self.name, self.meaning, self.values, self.default = name, meaning, values, shown
        self._fallback, self._read = fallback, read

    @property
    def secret(self) -> bool:
        """Whether the value can be in a file whose path is in NAME_FILE."""
        return self._read is envsecret

    def read(self, default: T | None = None) -> T:
        """Return the variable's value from the environment. If it is not set, return the given default or
        else the declared one. Raises `EnvError`.
        """
        return self._read(self.name, self._fallback if default is None else default)


class Group:
    """Variables that belong together, in the order of their declaration. ``text`` describes who
    needs them.
    """

    def __init__(self, title: str, says: str) -> None:
        self.title, self.says = title, says
        self.variables: list[Variable[Any]] = []

    def text(
        self, name: str, default: str, meaning: str, *, values: str = "text", shown: str = ""
    ) -> Variable[str]:
        """Declare a string. `shown` describes the default, if the default is not fixed."""
        return self._add(name, default, meaning, values, shown, envstr)

    def secret(self, name: str, meaning: str, *, shown: str = "") -> Variable[str]:
        """Declare a secret, empty if it is not set."""
        return self._add(name, "", meaning, f"text, or the path of a file as `{name}_FILE`", shown, envsecret)

    def boolean(self, name: str, default: bool, meaning: str, *, shown: str = "") -> Variable[bool]:
        """Declare a switch."""
        return self._add(name, default, meaning, "`1` or `0`", shown or ("on" if default else "off"), envbool)

    def number(
        self,
        name: str,
        default: int,
        meaning: str,
        *,
        least: int | None = None,
        shown: str = "",
        values: str = "",
    ) -> Variable[int]:
        """Declare a whole number."""
        values = values or ("a whole number" if least is None else f"a whole number, {least} or more")
        return self._add(name, default, meaning, values, shown, functools.partial(envint, least=least))

    def items(
        self, name: str, default: Sequence[str], meaning: str, *, values: str, shown: str = ""
    ) -> Variable[list[str]]:
        """Declare a list, separated by commas."""
        shown = shown or (f"`{','.join(default)}`" if default else "none")
        return self._add(name, list(default), meaning, values, shown, envlist)

    def choice(self, name: str, options: Sequence[str], meaning: str) -> Variable[str]:
        """Declare a choice from a list of words. The first word is the default."""
        return self._matching(name, "|".join(options), meaning, form=" or ".join(options), default=options[0])

    def match(self, name: str, pattern: str, meaning: str, *, form: str, shown: str) -> Variable[str]:
        """Declare a string that matches a pattern, empty if it is not set.

        `form` describes what the pattern matches.
        """
        return self._matching(name, pattern, meaning, form=form, shown=shown)

    def _matching(
        self, name: str, pattern: str, meaning: str, *, form: str, default: str = "", shown: str = ""
    ) -> Variable[str]:
        def read(name: str, default: str) -> str:
            return envmatch(name, pattern, form=form) or default

        values = " or ".join(f"`{one}`" for one in form.split(" or "))
        return self._add(name, default, meaning, values, shown, read)

    def _add(
        self, name: str, default: T, meaning: str, values: str, shown: str, read: Callable[[str, T], T]
    ) -> Variable[T]:
        shown = shown or ("none" if default in ("", None) else f"`{default}`")
        variable = Variable(name, default, meaning, values=values, shown=shown, read=read)
        self.variables.append(variable)
        return variable
