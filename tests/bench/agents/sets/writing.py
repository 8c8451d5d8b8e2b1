"""How the sets are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Limits = Mapping[str, Any]
# The changes of one task, by tool: values from the prompt. None leaves an argument out.
Task = Mapping[str, Limits]

TEXT = {"schema": {"type": "string", "maxLength": 4096}}
NUMBER = {"schema": {"type": "number"}}
YES_NO = {"schema": {"type": "boolean"}}
NAMES = {"schema": {"type": "array", "items": {"type": "string", "maxLength": 200}}}


@dataclass(frozen=True)
class Change:
    """What a tool that changes something may do if the prompt says no more.

    ``sinks`` say where it goes or what it affects, ``says`` what other people then read.
    """

    arguments: Limits
    optional: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    effect: str = "change"


@dataclass(frozen=True, eq=False)
class Suite:
    """The general rules of a suite, and its tasks by id. A read lists its arguments."""

    reads: Mapping[str, Limits]
    optional_reads: frozenset[str]
    untrusted: frozenset[str]
    changes: Mapping[str, Change]
    tasks: Mapping[str, Task]


ANY_TEXT: Limits = {"pattern": ".{1,200}"}
ANY_NUMBER: Limits = {"int": [0, 1_000_000_000]}


def found(*fields: str, most: int | None = None, other: Limits = ANY_TEXT) -> Limits:
    """Only values that these fields of results had, up to ``most`` in a list. Others wait for a person."""
    lists = {} if most is None else {"list": most}
    return {"from": "result", "fields": list(fields), **lists, "hold_others": other}


def only(*values: str) -> Limits:
    """One of these values."""
    return {"choice": list(values)}


def people(*values: str) -> Limits:
    """A list of these values."""
    return {"schema": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(values)}}}


def like(pattern: str) -> Limits:
    """Text of this form, which leaves no place for other text."""
    return {"pattern": pattern}


def around(pattern: str) -> Limits:
    """Text of this form, which contains other text."""
    return {"schema": {"type": "string", "maxLength": 4096, "pattern": pattern}}


def up_to(most: float) -> Limits:
    """A number that is not higher."""
    return {"schema": {"type": "number", "minimum": 0, "maximum": most}}


def on(day: str) -> Limits:
    """A time on a day, `2024-05-20`, or `04-25` if it is not said of which year."""
    return like(f"{'' if len(day) > 5 else '20[0-9]{2}-'}{day}.*")


def site(*addresses: str) -> Limits:
    """One of these web addresses, as people write them."""
    return only(*(f"{scheme}{one}" for one in addresses for scheme in ("", "http://", "https://")))
