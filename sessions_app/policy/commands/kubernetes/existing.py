"""Checks against the existing object that a request changes: the parts that a decision reads, and the list
items that must already exist.

A strategic merge patch and a server-side apply add list items that are missing. A line that changes a
container must not add a container.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent
from sessions_app.policy.commands.kubernetes.bodies import ORDER, SERVER_SIDE, STRATEGIC, Path, written_path
from sessions_app.policy.commands.kubernetes.wants import Differs

# Codes of refusals for missing input. The caller reads the object, for the second code also its revisions,
# and decides again.
TARGET, HISTORY = "target", "history"
ASKS = (HISTORY, TARGET)
# Lists to which a patch must not add items, because the pod runs or reads each of them. Environment variables
# can be added: like labels, they are identified by name.
_NOT_ADDED = frozenset(("containers", "initContainers", "volumes"))


def target_of(sent: Sent, code: str = TARGET) -> Mapping[str, Any]:
    """Return the object as stored in the cluster; empty if it doesn't exist.

    Raises Differs with the code if the object was not read.
    """
    if sent.target is None:
        raise Differs(sent.unread or "the object has to be read first", code=code)
    return sent.target


def version_of(target: Mapping[str, Any]) -> str:
    """Return the resource version of an object. A write with this version fails if the object has changed
    since.
    """
    return str((target.get("metadata") or {}).get("resourceVersion") or "")


def check_items(request: KubeRequest, sent: Sent, paths: Collection[Path]) -> str:
    """Check that a patch changes only existing containers and volumes, and keeps the order in which init
    containers run. Raises Differs.

    Returns the resource version for which the check holds; empty if the patch doesn't depend on existing
    items.
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
                    f"{written_path(path)} is an item of a list: only a strategic merge patch can change it"
                )
            at = next((one for one in at if isinstance(one, Mapping) and one.get("name") == key), None)
        else:
            at = at.get(key) if isinstance(at, Mapping) else None
        if at is None and place and path[place - 1] in _NOT_ADDED:
            item = written_path(path[: place + 1])
            raise Differs(f"{request.name} has no {item}, and the command must not add one", place)


def _check_orders(path: Path, patch: Any, there: Any) -> None:
    if not isinstance(patch, Mapping) or not isinstance(there, Mapping):
        return
    for key, value in patch.items():
        items = key.removeprefix(ORDER)
        own = _by_name(there.get(items))
        if items != key:
            names = [one["name"] for one in value if one["name"] in own]
            if names != [name for name in own if name in names]:
                raise Differs(f"it changes the order of {written_path((*path, items))}")
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
