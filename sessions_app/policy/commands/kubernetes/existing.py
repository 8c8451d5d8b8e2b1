"""The object that a request changes, as the cluster has it: what a decision asks for, and what has to be there already.

A strategic merge patch and a server-side apply add an item of a list that is not there. A line that changes a container
adds none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sessions_app.policy.commands.kubernetes.bodies import ORDER, SERVER_SIDE, STRATEGIC, Path, written_path
from sessions_app.policy.commands.kubernetes.reading import KubeRequest, Sent
from sessions_app.policy.commands.kubernetes.wants import Differs

# Codes of refusals that ask for the object, or for its revisions as well: read them, and decide again.
TARGET, HISTORY = "target", "history"
ASKS = (HISTORY, TARGET)
# A pod runs or reads each of their items. A variable of a container is set like a label: its name is all that it has.
_NOT_ADDED = frozenset(("containers", "initContainers", "volumes"))


def target_of(sent: Sent, code: str = TARGET) -> Mapping[str, Any]:
    """Return the object as the cluster has it; empty if there is none. Raises Differs with the code if it was not read."""
    if sent.target is None:
        raise Differs(sent.unread or "the object has to be read first", code=code)
    return sent.target


def version_of(target: Mapping[str, Any]) -> str:
    """Return the resource version of an object, with which a write fails once something else has changed it."""
    return str((target.get("metadata") or {}).get("resourceVersion") or "")


def check_items(request: KubeRequest, sent: Sent, paths: Collection[Path]) -> str:
    """Check that what a patch changes inside of containers and volumes is there, so that it adds none, and stays in its
    order, in which those that prepare a pod run. Raises Differs.

    Returns the resource version for which that is true; empty if nothing of the patch needs to be there.
    """
    inside = [path for path in paths if any(key in _NOT_ADDED for key in path[:-1])]
    if not inside:
        return ""
    target = target_of(sent)
    for path in inside:
        _check_item(request, target, path, merged=sent.media_type in (STRATEGIC, SERVER_SIDE))
    _check_orders((), sent.body, target)
    return version_of(target)


def _check_item(request: KubeRequest, target: Any, path: Path, *, merged: bool) -> None:
    at = target
    for place, key in enumerate(path):
        if isinstance(at, list):
            if not merged:
                raise Differs(
                    f"{written_path(path)} is an item of a list: only a strategic merge patch changes one"
                )
            at = next((one for one in at if isinstance(one, Mapping) and one.get("name") == key), None)
        else:
            at = at.get(key) if isinstance(at, Mapping) else None
        if at is None and place and path[place - 1] in _NOT_ADDED:
            item = written_path(path[: place + 1])
            raise Differs(f"{request.name} has no {item}, and the line adds none", place)


def _check_orders(path: Path, patch: Any, there: Any) -> None:
    if not isinstance(patch, Mapping) or not isinstance(there, Mapping):
        return
    for key, value in patch.items():
        items = key.removeprefix(ORDER)
        own = _by_name(there.get(items))
        if items != key:
            names = [one["name"] for one in value if one["name"] in own]
            if names != [name for name in own if name in names]:
                raise Differs(f"it puts {written_path((*path, items))} in another order")
        elif isinstance(value, list):
            for one in (one for one in value if isinstance(one, Mapping) and one.get("name") in own):
                _check_orders((*path, key, one["name"]), one, own[one["name"]])
        else:
            _check_orders((*path, key), value, there.get(key))


def _by_name(items: Any) -> dict[str, Mapping[str, Any]]:
    found = items if isinstance(items, list) else []
    return {
        one["name"]: one for one in found if isinstance(one, Mapping) and isinstance(one.get("name"), str)
    }
