"""Differences between two versions of any catalog document, as sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sessions_app.policy.commands.diff import Change

# Names for display. Other keys are shown with spaces instead of underscores.
_LABELS = {
    "max_duration": "longest time",
    "max_horizon": "how far ahead",
    "decision_time": "time to decide",
    "review_within": "time to review",
    "as": "account",
    "allow": "examples to allow",
    "refuse": "examples to refuse",
}
# The noun for one entry of a list.
_ENTRIES = {
    "allow": "allow",
    "approvals": "approval",
    "clusters": "cluster",
    "command_sets": "command set",
    "commands": "command",
    "escalation": "escalation step",
    "events": "event",
    "examples": "example",
    "freezes": "freeze",
    "groups": "group",
    "identities": "identity",
    "members": "member",
    "on_call": "on-call group",
    "refuse": "refuse",
    "targets": "target",
    "webhooks": "webhook",
    "windows": "window",
}
# The keys that identify an entry of a list. The first one that the entry has is used.
_NAMES = ("name", "run", "request", "tool", "resource", "prompt", "grant", "deny", "groups", "after")
_CODE = {"run", "request", "tool", "resource", "prompt", "grant", "deny"}
_UNITS = {"s": "s", "m": "min", "h": "h", "d": "d", "w": "w"}
_DURATION = re.compile(r"(?:[0-9]+[smhdw])+")
_LONGEST = 160


def diff_any(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Change]:
    """Return the differences between two stored versions of a document; None for a version that doesn't
    exist.
    """
    if before is None:
        return [Change("added", "", "created")]
    if after is None:
        return [Change("removed", "", "removed")]
    return list(_mapping("", before, after))


def _mapping(where: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for key in dict.fromkeys((*before, *after)):
        was, now = before.get(key), after.get(key)
        if was != now:
            yield from _value(where, str(key), was, now)


def _value(where: str, key: str, was: Any, now: Any) -> Iterator[Change]:
    inner = f"{where} {_label(key)}".strip()
    if _is_list(was) and _is_list(now) and not _is_range(was, now):
        yield from _entries(where, key, was or [], now or [])
    elif isinstance(was, Mapping) and isinstance(now, Mapping):
        yield from _mapping(f"{inner}:" if not where else inner, was, now)
    elif was is None:
        yield Change("added", inner, f"{inner} {_say(now)}", None, _say(now))
    elif now is None:
        yield Change("removed", inner, f"{inner} {_say(was)}", _say(was))
    else:
        yield Change("changed", inner, f"{inner} {_say(was)} → {_say(now)}", _say(was), _say(now))


def _is_list(value: Any) -> bool:
    return value is None or (isinstance(value, Sequence) and not isinstance(value, str))


def _is_range(was: Any, now: Any) -> bool:
    """Whether both are lists of numbers, such as the limits of a parameter."""
    return all(isinstance(one, int) for one in (*(was or ("",)), *(now or ("",))))


def _entries(where: str, key: str, was: Sequence[Any], now: Sequence[Any]) -> Iterator[Change]:
    old, new = _named(was), _named(now)
    for name, entry in old.items():
        if name not in new:
            yield Change("removed", key, _entry(where, key, name, entry), name)
    for name, entry in new.items():
        if name not in old:
            yield Change("added", key, _entry(where, key, name, entry), None, name)
        elif entry != old[name]:
            yield from _changed(key, name, old[name], entry)
    if list(old) != list(new) and old == new:
        yield Change("changed", key, f"{where} {_label(key)}: order changed".strip())


def _entry(where: str, key: str, name: str, entry: Any) -> str:
    """Return one entry of a list: "command `uptime`", "requesters: group operators"."""
    if key == "approvals":
        return f"approvals: {entry.get('count')} from {name}"
    place = f"{where.removesuffix(':')}: " if where else ""
    noun = _ENTRIES.get(key)
    return f"{place}{noun} {name}" if noun else f"{where} {_label(key)}: {name}".strip()


def _label(key: str) -> str:
    return _LABELS.get(key, key.replace("_", " "))


def _changed(key: str, name: str, was: Any, now: Any) -> Iterator[Change]:
    if key == "approvals" and {**was, "count": 0} == {**now, "count": 0}:
        text = f"approvals from {name} {was['count']} → {now['count']}"
        yield Change("changed", f"approvals from {name}", text, str(was["count"]), str(now["count"]))
    else:
        yield from _mapping(f"{_ENTRIES.get(key, key)} {name}:", was, now)


def _named(entries: Sequence[Any]) -> dict[str, Any]:
    """Return entries by their identifying key. Repeated entries get a number."""
    found: dict[str, Any] = {}
    for entry in entries:
        name = text = _name(entry)
        number = 2
        while name in found:
            name, number = f"{text} ({number})", number + 1
        found[name] = entry
    return found


def _name(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return _say(entry)
    key = next((one for one in _NAMES if one in entry), None)
    if key is None:
        return _say(entry)
    if key in _CODE and isinstance(entry[key], str):
        return f"`{_short(entry[key])}`"
    return " or ".join(map(str, entry[key])) if key == "groups" else _say(entry[key])


def _say(value: Any) -> str:
    """Format a value in plain words, with durations spaced for reading."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        spaced = " ".join(
            f"{number} {_UNITS[unit]}" for number, unit in re.findall(r"([0-9]+)([smhdw])", value)
        )
        return spaced if _DURATION.fullmatch(value) else _short(value)
    if isinstance(value, Mapping):
        return _short(", ".join(f"{_label(str(k))} {_say(v)}" for k, v in value.items()))
    if isinstance(value, Sequence):
        numbers = len(value) == 2 and all(isinstance(one, int) for one in value)
        return _short((" to " if numbers else ", ").join(map(_say, value)))
    return "none" if value is None else _short(json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"
