"""Change single values in the text of a YAML document, and keep the comments, order and style of everything
else.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from sessions_app.policy.documents import DocumentError, Path, load_yaml

REMOVED: Any = object()
_WIDE = 100_000


def changed(source: str, new: dict[str, Any]) -> str:
    """Return the text of a document with the values of ``new``. Raises DocumentError if ``source`` can't be
    parsed.

    A changed value is written on one line. If the text can't be edited in place, the whole value of its
    top-level key is rewritten, or else the whole document.
    """
    data = load_yaml(source)
    for path, value in _differences(data, new, ()):
        data = _with(data, path, value)
        top = data.get(str(path[0]), REMOVED)
        for at, what in ((path, value), (path[:1], top)):
            text = _edited(source, at, what)
            if text and _reads_as(text, data):
                source = text
                break
        else:
            source = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=_WIDE)
    return source


def _differences(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the changes that turn one value into another. List entries are removed starting from the
    end.
    """
    if isinstance(old, dict) and isinstance(new, dict) and (new or not path):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key, REMOVED), new.get(key, REMOVED), (*path, key))
    elif isinstance(old, list) and isinstance(new, list) and old and len(new) >= len(old):
        for at, value in enumerate(new):
            yield from _differences(old[at] if at < len(old) else REMOVED, value, (*path, at))
    elif isinstance(old, list) and isinstance(new, list) and new and (gone := _removed(old, new)):
        for at in reversed(gone):
            yield (*path, at), REMOVED
    elif old is REMOVED or new is REMOVED or old != new or type(old) is not type(new):
        yield path, new


def _removed(old: list[Any], new: list[Any]) -> list[int]:
    """Return the positions of the entries whose removal makes the old list equal to the new one. Empty if
    there are no such entries.
    """
    gone: list[int] = []
    for at, value in enumerate(old):
        if at - len(gone) >= len(new) or new[at - len(gone)] != value:
            gone.append(at)
    return gone if [value for at, value in enumerate(old) if at not in gone] == new else []


def _with(data: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(data)
    inside: Any = result
    for part in path[:-1]:
        inside = inside[part]
    if value is REMOVED:
        del inside[path[-1]]
    elif isinstance(inside, list) and path[-1] == len(inside):
        inside.append(value)
    else:
        inside[path[-1]] = value
    return result


def _reads_as(text: str, data: Any) -> bool:
    try:
        return bool(load_yaml(text) == data)
    except DocumentError:
        return False


def _edited(source: str, path: Path, value: Any) -> str:
    """Return the text with one value set or removed, or an empty text. The caller checks that the result
    parses as expected.
    """
    parent: Any = yaml.compose(source, Loader=yaml.SafeLoader)
    for part in path[:-1]:
        parent = next((child for key, _, child in _children(parent) if key == part), None)
        if parent is None:
            return ""
    places = list(_children(parent))
    found = next((at for at, place in enumerate(places) if place[0] == path[-1]), None)
    if value is REMOVED:
        return source if found is None else _without(source, parent, places, found)
    if found is None:
        return _inserted(source, parent, places, path[-1], value)
    _, start, node = places[found]
    begin, end = node.start_mark.index, _end(source, node)
    if isinstance(path[-1], str):
        colon = source.find(":", start.end_mark.index) + 1
        if (colon and not source[colon:begin].strip()) or begin < colon:
            column = start.start_mark.column
            text = _written(value, column if not parent.flow_style else None)
            return source[:colon] + text + source[max(end, colon) :]
    return source[:begin] + _flow(value) + source[end:]


def _children(node: Any) -> list[tuple[str | int, Any, Any]]:
    """Return the key, its node and the value's node for each entry. Entries of lists have their numbers as
    keys.
    """
    if isinstance(node, yaml.MappingNode):
        return [(key.value, key, value) for key, value in node.value]
    return [(at, child, child) for at, child in enumerate(node.value)]


def _end(source: str, node: Any) -> int:
    """Return the index after the last character of a value.

    The end marks of block values include the whitespace after the value.
    """
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(source, last[1] if isinstance(last, tuple) else last)
    start: int = node.start_mark.index
    end: int = node.end_mark.index
    return start + len(source[start:end].rstrip())


def _inserted(source: str, parent: Any, places: Sequence[Any], key: str | int, value: Any) -> str:
    if parent.flow_style or not places:
        at = parent.end_mark.index - 1
        name = f"{_flow(key)}: " if isinstance(key, str) else ""
        return f"{source[:at].rstrip()}{', ' if places else ''}{name}{_flow(value)}{source[at:]}"
    end = _line_end(source, _end(source, places[-1][2]))
    column = parent.start_mark.column
    line = f"{_flow(key)}:{_written(value, column)}" if isinstance(key, str) else f"- {_flow(value)}"
    return f"{source[:end]}\n{' ' * column}{line}{source[end:]}"


def _without(source: str, parent: Any, places: Sequence[Any], at: int) -> str:
    _, key, node = places[at]
    start, end = key.start_mark.index, _end(source, node)
    if not parent.flow_style:
        begin = source.rfind("\n", 0, start) + 1
        return source[:begin] + source[_line_end(source, end) + 1 :]
    if at:
        return source[: _end(source, places[at - 1][2])] + source[end:]
    after = places[1][1].start_mark.index if len(places) > 1 else end
    return source[:start] + source[after:]


def _line_end(source: str, index: int) -> int:
    found = source.find("\n", index)
    return len(source) if found < 0 else found


def _written(value: Any, column: int | None) -> str:
    """Return a value as written after its key. A list of mappings in block style has one line for each
    mapping.
    """
    if (
        column is not None
        and isinstance(value, list)
        and value
        and all(isinstance(one, dict) for one in value)
    ):
        return "".join(f"\n{' ' * (column + 2)}- {_flow(one)}" for one in value)
    return f" {_flow(value)}"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=_WIDE)
    return text.removesuffix("\n").removesuffix("\n...").strip()
