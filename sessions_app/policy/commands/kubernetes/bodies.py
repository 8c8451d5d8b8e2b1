"""Parse what a patch or an object sets into values by path, following the API server's rules for each media
type.

A path is the keys that lead to a value. Items of the lists that the API server merges by name are keyed by
their name: `spec.template.spec.containers[app].image`. Any other list is one value.

Source: RFC 6902 (JSON patch), RFC 7396 (merge patch), and Kubernetes' strategic merge patch
(https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import RuleRefused

Path = tuple[str, ...]

JSON, JSON_PATCH = "application/json", "application/json-patch+json"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
SERVER_SIDE = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE, STRATEGIC)
# Lists of the built-in kinds that are merged by `name`.
KEYED = frozenset(("containers", "initContainers", "env", "volumes"))
ORDER = "$setElementOrder/"
_DEEPEST = 64


def read_fields(media_type: str, body: Any, allowed: Collection[str] = PATCHES) -> dict[Path, Any]:
    """Return every value that a body sets, by path. `null` counts as a value, because it removes the existing
    value.

    Raises RuleRefused for a media type that is not allowed, for directives other than `$setElementOrder`, and
    for patches that can't be interpreted without the object that they change.
    """
    if media_type not in allowed:
        raise RuleRefused(f"the media type {clip(media_type)} is not supported: use one that kubectl sends")
    if media_type == JSON_PATCH:
        return _operations(body)
    if not isinstance(body, Mapping):
        raise RuleRefused("the body must be an object")
    found: dict[Path, Any] = {}
    for path, value in _walk((), body, media_type) if body else ():
        if path in found:
            raise RuleRefused(f"{written_path(path)} is set twice")
        found[path] = value
    return found


def written_path(path: Path) -> str:
    """Return a path as written in documents: `spec.template.spec.containers[app].image`."""
    text = ""
    for at, key in enumerate(path):
        inside = (at and path[at - 1] in KEYED) or "." in key
        text += f"[{key}]" if inside and text else f".{key}" if text else key
    return text


def _walk(path: Path, value: Any, media_type: str) -> Iterator[tuple[Path, Any]]:
    if len(path) > _DEEPEST:
        raise RuleRefused("the body is nested too deeply")
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            if key.startswith("$"):
                _check_directive(path, value, key, media_type)
            elif key in KEYED and isinstance(inner, list) and media_type != MERGE and _named(inner):
                yield from _items((*path, key), inner, media_type)
            else:
                yield from _walk((*path, key), inner, media_type)
    else:
        yield path, value


def _named(items: Sequence[Any]) -> bool:
    return bool(items) and all(isinstance(one, Mapping) and isinstance(one.get("name"), str) for one in items)


def _items(path: Path, items: Sequence[Mapping[str, Any]], media_type: str) -> Iterator[tuple[Path, Any]]:
    for item in items:
        rest = {key: value for key, value in item.items() if key != "name"}
        yield from _walk((*path, item["name"]), rest, media_type)


def _check_directive(path: Path, beside: Mapping[str, Any], key: str, media_type: str) -> None:
    """Refuse directives, except the one for the order of named items, which kubectl sends with a patch of
    such items.
    """
    items, order = key.removeprefix(ORDER), beside[key]
    good = media_type == STRATEGIC and key.startswith(ORDER) and items in KEYED and items in beside
    if not good or not isinstance(order, list) or not _named(order) or any(len(one) > 1 for one in order):
        raise RuleRefused(f"{written_path((*path, key))} is a patch directive, which is not allowed")


def _operations(body: Any) -> dict[Path, Any]:
    if not isinstance(body, list) or not body:
        raise RuleRefused("a JSON patch must be a list of operations")
    found: dict[Path, Any] = {}
    for one in body:
        if (
            not isinstance(one, Mapping)
            or set(one) != {"op", "path", "value"}
            or one["op"] not in ("add", "replace")
        ):
            raise RuleRefused("a JSON patch may only add and replace: use one operation for each field")
        # An existing value is replaced as a whole, so an object here would also remove fields that it does
        # not contain.
        path = _pointer(one["path"])
        if path in found:
            raise RuleRefused(f"{written_path(path)} is set twice")
        found[path] = one["value"]
    return found


def _pointer(text: Any) -> Path:
    if not isinstance(text, str) or not text.startswith("/"):
        raise RuleRefused(f"{clip(str(text))} is not a JSON pointer")
    path = tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))
    if any(part == "-" or part.isdigit() for part in path):
        raise RuleRefused(
            f"{clip(text)} is an index into a list that may have changed: use a strategic merge patch"
        )
    return path


def deeper_than(value: Any, most: int) -> bool:
    """Whether a parsed value has more than `most` levels of objects and lists."""
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ())
        ]
        if not level:
            return False
    return True


def build_body(fields: Mapping[Path, Any]) -> dict[str, Any]:
    """Return the strategic merge patch that sets these values. The inverse of `read_fields`."""
    body: dict[str, Any] = {}
    for path, value in fields.items():
        at: Any = body
        for place, key in enumerate(path):
            last = place + 1 == len(path)
            if place and path[place - 1] in KEYED:
                at = _item(at, key)
            elif last:
                at[key] = value
            else:
                at = at.setdefault(key, [] if key in KEYED else {})
    return body


def _item(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((one for one in items if one["name"] == name), None)
    if found is None:
        found = {"name": name}
        items.append(found)
    return found
