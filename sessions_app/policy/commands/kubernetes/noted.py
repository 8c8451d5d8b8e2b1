"""Checks kubectl's last-applied-configuration annotation (the note), which must match the object.

Source: kubectl 1.32, pkg/util/apply.go: the JSON of the object that is applied, without the note itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sessions_app.policy.commands.kubernetes.bodies import KEYED, Path, deeper_than, written_path
from sessions_app.policy.commands.kubernetes.wants import Differs, same

NOTE = ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")
_DEEPEST = 100


def check_note(text: Any, body: Mapping[str, Any], target: Mapping[str, Any]) -> None:
    """Check that a note equals either the object that is sent with it, value by value, or the existing note.

    Raises Differs.
    """
    if same(text, _note_of(target)):
        return
    if not same(_without_note(_parsed(text)), _without_note(body)):
        raise Differs(f"{written_path(NOTE)} must be the applied object")


def check_note_of_patch(text: Any, set_: Mapping[Path, Any], target: Mapping[str, Any]) -> None:
    """Check that everything in a note is also in the patched object.

    ``set_`` are the values that the patch sets, by path. Raises Differs with the path.

    The API server fills in fields that a file leaves out, so the object may have more fields than the note.
    """
    departs = _departure(_parsed(text), target, (), set_)
    if departs is not None:
        raise Differs(
            f"{written_path(NOTE)} must be the applied object, but its {written_path(departs)} differs"
        )


def _parsed(text: Any) -> Mapping[str, Any]:
    try:
        noted = json.loads(text, object_pairs_hook=_once) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        noted = None
    if not isinstance(noted, Mapping) or deeper_than(noted, _DEEPEST):
        raise Differs(f"{written_path(NOTE)} is not an object")
    return noted


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is repeated")
    return found


def _note_of(target: Mapping[str, Any]) -> Any:
    return ((target.get("metadata") or {}).get("annotations") or {}).get(NOTE[-1])


def _without_note(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an object without its note, without empty annotations, and without the resource version.

    kubectl adds the resource version to a replacement after it has written the note.
    """
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        return body
    annotations = metadata.get("annotations")
    if not isinstance(annotations, Mapping | None):
        return body
    others = {key: one for key, one in (annotations or {}).items() if key != NOTE[-1]}
    rest = {key: one for key, one in metadata.items() if key not in ("annotations", "resourceVersion")}
    return {**body, "metadata": {**rest, "annotations": others} if others else rest}


def _departure(noted: Any, there: Any, path: Path, set_: Mapping[Path, Any]) -> Path | None:
    """Return the path of the first value in a note that the object does not have; None if there is none."""
    there = set_.get(path, there)
    if noted is None or (noted in ({}, []) and there is None):
        return None
    if isinstance(noted, dict) and isinstance(there, dict | None):
        pairs = [((*path, key), one, (there or {}).get(key)) for key, one in noted.items()]
    elif isinstance(noted, list) and isinstance(there, list | None):
        pairs = _items(noted, there or [], path, set_)
    else:
        return None if same(noted, there) else path
    if len(pairs) < len(noted) or (noted == [] and there):
        return path
    found = (_departure(one, other, inner, set_) for inner, one, other in pairs)
    return next((inner for inner in found if inner is not None), None)


def _items(
    noted: list[Any], there: list[Any], path: Path, set_: Mapping[Path, Any]
) -> list[tuple[Path, Any, Any]]:
    """Pair the items of two lists: named items by name, others by position.

    Items without a counterpart are left out.
    """
    if path[-1] not in KEYED or not all(_has_name(one) for one in noted):
        both = zip(noted, there, strict=True) if len(noted) == len(there) else ()
        return [((*path, str(at)), one, other) for at, (one, other) in enumerate(both)]
    named = {one["name"]: one for one in there if _has_name(one)}
    # The patch can add a new environment variable.
    set_here = {at[len(path)] for at in set_ if at[: len(path)] == path and len(at) > len(path)}
    named |= {name: {"name": name} for name in set_here if name not in named}
    return [((*path, one["name"]), one, named[one["name"]]) for one in noted if one["name"] in named]


def _has_name(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("name"), str)
