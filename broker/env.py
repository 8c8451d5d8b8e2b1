"""Read settings from environment variables. An invalid value is an error, never silently replaced by a default.

Needs no Django, so that launchers and settings share it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class EnvError(ValueError):
    """A missing or invalid environment variable. The message names it and what to set."""


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

    Returns `default` if neither is set. Raises `EnvError` if both are set, the file can't be read, the value is empty,
    or nothing is set and there is no default. The message never contains the value.
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
