"""The four ways to change an object: RFC 6902, RFC 7396, strategic merge and server-side apply.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (patch types), and the API convention of
strategic merge patches (`contributors/devel/sig-api-machinery/strategic-merge-patch.md`).
"""

import copy
from typing import Any

from tests.support.servers.kubernetes.store import Refusal

# The fields that identify the entries of a list. Other lists are replaced as a whole.
KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "taints": "key",
    "ownerReferences": "uid",
    "secrets": "name",
    "hostAliases": "ip",
}
_ORDER, _REMOVE, _RETAIN = "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"
JSON, MERGE, STRATEGIC, APPLY = (
    f"application/{kind}"
    for kind in ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)


def patched(old: dict, patch: Any, kind: str) -> dict:
    """Return an object changed by a patch of a media type. Raises Refusal for a patch that does not apply."""
    if kind == JSON:
        return json_patch(old, patch)
    if kind == MERGE:
        return merge(old, patch)
    if kind in (STRATEGIC, APPLY):
        return strategic(old, patch)
    raise Refusal(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - {kind}")


def merge(old: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    made = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merge(made.get(key), value)
    return made


def json_patch(old: dict, patch: list[dict]) -> dict:
    """Apply a list of operations (RFC 6902)."""
    made = {"": copy.deepcopy(old)}
    for one in patch:
        op = one["op"]
        if op == "test":
            if _at(made, one["path"]) != one["value"]:
                raise Refusal(
                    422, "Invalid", f"the server rejected our request: testing path {one['path']} failed"
                )
            continue
        value = one.get("value")
        if op in ("move", "copy"):
            value = copy.deepcopy(_at(made, one["from"]))
        if op in ("remove", "move", "replace"):
            _take(made, one["path"] if op != "move" else one["from"])
        if op != "remove":
            _put(made, one["path"], value)
    return made[""]


def _parts(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]


def _at(made: Any, path: str) -> Any:
    for part in _parts(path):
        try:
            made = made[int(part) if isinstance(made, list) else part]
        except (KeyError, IndexError, ValueError):
            raise Refusal(422, "Invalid", f"the server rejected our request: there is no {path}") from None
    return made


def _take(made: dict, path: str) -> None:
    _at(made, path)
    parent, _, _ = path.rpartition("/")
    where, last = _at(made, parent) if path else made, _parts(path)[-1]
    del where[int(last) if isinstance(where, list) else last]


def _put(made: dict, path: str, value: Any) -> None:
    parent, _, _ = path.rpartition("/")
    where, last = _at(made, parent) if path else made, _parts(path)[-1]
    if isinstance(where, list):
        where.insert(len(where) if last == "-" else int(last), value)
    else:
        where[last] = value


def strategic(old: Any, patch: Any, field: str = "") -> Any:
    """Apply a strategic merge patch: lists are merged by the key of their entries, with its directives."""
    if isinstance(patch, list) and field in KEYS:
        return _merged_list(old or [], patch, KEYS[field])
    if isinstance(patch, list) and field == "finalizers":
        return [*(old or []), *(one for one in patch if one not in (old or []))]
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    return _merged_map(old if isinstance(old, dict) else {}, patch)


def _merged_map(old: dict, patch: dict) -> dict:
    made = dict(old)
    if _RETAIN in patch:
        made = {key: value for key, value in made.items() if key in patch[_RETAIN]}
    for key, value in patch.items():
        if key.startswith(_REMOVE):
            field = key.removeprefix(_REMOVE)
            made[field] = [one for one in made.get(field) or [] if one not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            made.pop(key, None)
        else:
            made[key] = strategic(made.get(key), value, key)
    for key in (key for key in patch if key.startswith(_ORDER)):
        field = key.removeprefix(_ORDER)
        made[field] = _ordered(made.get(field) or [], patch[key], KEYS.get(field))
    return made


def _merged_list(old: list, patch: list, key: str) -> list:
    if any(one.get("$patch") == "replace" for one in patch):
        return [one for one in patch if one.get("$patch") != "replace"]
    made = {one.get(key): one for one in old}
    for one in patch:
        if one.get("$patch") == "delete":
            made.pop(one.get(key), None)
        else:
            made[one.get(key)] = strategic(made.get(one.get(key)), one)
    return list(made.values())


def _ordered(made: list, order: list, key: str | None) -> list:
    """Return the entries in the order that was sent, followed by those that it does not name."""

    def name(one: Any) -> Any:
        return one.get(key) if key else one

    places = {name(one): at for at, one in enumerate(order)}
    return sorted(made, key=lambda one: places.get(name(one), len(places)))
