"""Determine what a replacement (PUT) changes in the existing object, as values by path, like those of a
patch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sessions_app.policy.commands.kubernetes.bodies import KEYED, Path, written_path
from sessions_app.policy.commands.kubernetes.noted import NOTE
from sessions_app.policy.commands.kubernetes.wants import Differs, same

# Fields that the API server sets itself, and keeps if a request omits them.
_ITS_OWN = frozenset(
    ("metadata", key)
    for key in ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
)
# Fields that the API server ignores in a replacement. The version isn't ignored: it is a precondition that
# the API server checks.
_UNREAD = (("metadata", "generation"), ("metadata", "resourceVersion"))
_TAGS = (("metadata", "annotations"), ("metadata", "labels"))
_ABSENT = object()


def changes(target: Mapping[str, Any], body: Mapping[str, Any], *, built_in: bool) -> dict[Path, Any]:
    """Return each value that differs, by path; None for a removed value. kubectl's own annotation is left
    out.

    `built_in`: the API server ignores the status in a replacement. Raises Differs for a change to fields that
    only the API server writes.
    """
    found: dict[Path, Any] = {}
    for path, value in _changes(target, body, ()):
        if path[:2] in _ITS_OWN:
            if value is not None and path not in _UNREAD:
                raise Differs(f"only the API server may write {written_path(path)}")
        elif path != NOTE and not (built_in and path[0] == "status"):
            found[path] = value
    return found


def _changes(was: Any, now: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if was is now or (_ABSENT not in (was, now) and same(was, now)):
        return
    if now is None and path[-1] != "creationTimestamp":
        # In a map of strings, Go reads null as a key with an empty string.
        raise Differs(f"{written_path(path)} is null: leave it out")
    if path in _TAGS and now is _ABSENT:
        now = {}
    if isinstance(now, Mapping) and (isinstance(was, Mapping) or (was is _ABSENT and now)):
        before = was if isinstance(was, Mapping) else {}
        for key in sorted({*before, *now}):
            yield from _changes(before.get(key, _ABSENT), now.get(key, _ABSENT), (*path, key))
    elif path and path[-1] in KEYED and (names := _names(was)) and names == _names(now):
        for name, one, other in zip(names, was, now, strict=True):
            yield from _changes(one, other, (*path, name))
    elif not (path in _TAGS and was is _ABSENT):
        yield path, None if now is _ABSENT else now


def _names(items: Any) -> list[str]:
    """Return the names of a list's items, in order; empty if an item has no name or two share one."""
    if not isinstance(items, list) or not all(isinstance(one, Mapping) for one in items):
        return []
    names = [one.get("name") for one in items]
    return names if all(isinstance(name, str) for name in names) and len(set(names)) == len(names) else []
