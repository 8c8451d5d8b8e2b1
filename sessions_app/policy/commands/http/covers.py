"""Whether one set of requests is within another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import zip_longest

from sessions_app.policy.commands.budgets import looser
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.http.compiling import CompiledHTTPCommand, CompiledSet
from sessions_app.policy.commands.http.document import HTTPRequest
from sessions_app.policy.commands.http.limits import FileLimit, UploadLimit, response_within
from sessions_app.policy.commands.http.templates import ANY, PathParameter
from sessions_app.policy.commands.json_values.checks import Check, Exact
from sessions_app.policy.commands.parameters import Int, ParameterType, PathBelow
from sessions_app.policy.commands.within import UNDERSTATED, Names, accepts, type_within, understates

_Path = tuple[str | PathParameter, ...]


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return why the child may allow a request that the parent does not; None if it never does.

    Each request of the child must be one of the parent's, with placeholders filled or narrowed in path, query
    and body. The child must also deny what the parent denies, unless it can't allow a matching request. It
    must hold what the parent holds, limit responses at least as strictly, and never understate an effect.
    """
    allows = [one for one in child.commands if isinstance(one.rule, HTTPRequest)]
    outers = [one for one in parent.commands if isinstance(one.rule, HTTPRequest)]
    for one in allows:
        if not any(_within(one, outer, parent, child) for outer in outers):
            return f"{clip(one.text)} is not covered by the grant"
        for outer in outers:
            if why := _laxer(one, outer, parent, child):
                return f"{clip(one.text)} {why}"
            if understates(one.rule.effect, outer.rule.effect) and _may_meet(one, outer, parent, child):
                return f"{clip(one.text)} {UNDERSTATED}: {clip(outer.text)}"
    for deny in parent.denies:
        if any(_same_deny(deny, other, parent, child) for other in child.denies):
            continue
        for one in allows:
            if _may_meet(one, deny, parent, child):
                return f"{clip(one.text)} could match a denied request: {clip(deny.text)}"
    return None


def _laxer(
    one: CompiledHTTPCommand, outer: CompiledHTTPCommand, parent: CompiledSet, child: CompiledSet
) -> str | None:
    """Return, as a clause, how the child is less strict than the parent about a request that both commands
    match.
    """
    if one.allows is None or outer.allows is None or not _may_meet(one, outer, parent, child):
        return None
    if not response_within(one.allows.response, outer.allows.response):
        return f"would let more of a response through than {clip(outer.text)}"
    if outer.rule.held and not one.rule.held and not _held_too(outer, parent, child):
        return "would run without the approval that each request requires"
    return looser(one.allows.budget, outer.allows.budget)


def _held_too(outer: CompiledHTTPCommand, parent: CompiledSet, child: CompiledSet) -> bool:
    """Whether the child holds every request that a held command of the parent matches."""
    return any(other.rule.held and _within(outer, other, child, parent) for other in child.commands)


def _within(
    inner: CompiledHTTPCommand, outer: CompiledHTTPCommand, parent: CompiledSet, child: CompiledSet
) -> bool:
    names = Names()
    return (
        inner.template.method == outer.template.method
        and inner.content == outer.content
        and (outer.streams or not inner.streams)
        and (outer.websockets or not inner.websockets)
        and _path_within(inner, outer, parent, child, names)
        and _checks_within(inner.query, outer.query, inner, outer, names)
        and _checks_within(inner.body or {}, outer.body or {}, inner, outer, names)
        and _checks_within(inner.form, outer.form, inner, outer, names)
        # A header that is not listed is dropped, not refused, so the child must check every header that the
        # parent checks.
        and outer.headers.keys() <= inner.headers.keys()
        and _checks_within(inner.headers, outer.headers, inner, outer, names)
        and _files_within(inner, outer)
    )


def _files_within(inner: CompiledHTTPCommand, outer: CompiledHTTPCommand) -> bool:
    """Whether the child's files and uploads are among the parent's, with no higher size limits and no
    additional types. The child must require what the parent requires.
    """
    if inner.allows is None or outer.allows is None:
        return False
    ours, theirs = inner.allows.files, outer.allows.files
    needed = [name for name in theirs if name not in outer.optional]
    return (
        all(name in ours and name not in inner.optional for name in needed)
        and all(name in theirs and _size_within(limit, theirs[name]) for name, limit in ours.items())
        and _size_within(inner.allows.upload, outer.allows.upload)
    )


def _size_within(ours: FileLimit | UploadLimit | None, theirs: FileLimit | UploadLimit | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return ours.max <= theirs.max and set(ours.types) <= set(theirs.types)


def _pieces(one: CompiledHTTPCommand, bound: Mapping[str, str]) -> _Path:
    """Return the path with the bound values in place and adjacent literal text joined."""
    found: list[str | PathParameter] = []
    for piece in one.template.pieces:
        part = bound.get(piece.name, piece) if isinstance(piece, PathParameter) else piece
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return tuple(found)


def _path_within(
    inner: CompiledHTTPCommand,
    outer: CompiledHTTPCommand,
    parent: CompiledSet,
    child: CompiledSet,
    names: Names,
) -> bool:
    ours, theirs = _pieces(inner, child.bindings), _pieces(outer, parent.bindings)
    if all(isinstance(piece, str) for piece in ours):
        return _text_within("".join(map(str, ours)), outer, names)
    if inner.deep or outer.deep:
        return _pieces_within(ours, theirs, inner, outer, names)
    segments = zip_longest(_segments(ours), _segments(theirs))
    return all(
        one is not None and other is not None and _segment_within(one, other, inner, outer, names)
        for one, other in segments
    )


def _text_within(path: str, outer: CompiledHTTPCommand, names: Names) -> bool:
    found = outer.pattern.fullmatch(path)
    return found is not None and all(
        accepts(outer.types[name], value) and names.value(name, value)
        for name, value in found.groupdict().items()
    )


def _pieces_within(
    ours: _Path, theirs: _Path, inner: CompiledHTTPCommand, outer: CompiledHTTPCommand, names: Names
) -> bool:
    """Compare piece by piece. A placeholder for the rest of the path is only within another placeholder
    for the rest of the path.
    """
    return len(ours) == len(theirs) and all(
        _piece_within(one, other, inner, outer, names) for one, other in zip(ours, theirs, strict=True)
    )


def _piece_within(
    one: str | PathParameter,
    other: str | PathParameter,
    inner: CompiledHTTPCommand,
    outer: CompiledHTTPCommand,
    names: Names,
) -> bool:
    if isinstance(one, PathParameter) and isinstance(other, PathParameter):
        return type_within(inner.types[one.name], outer.types[other.name]) and names.place(
            other.name, one.name
        )
    return one == other


def _segments(path: _Path) -> list[_Path]:
    found: list[list[str | PathParameter]] = [[]]
    for piece in path:
        if isinstance(piece, PathParameter):
            found[-1].append(piece)
            continue
        first, *rest = piece.split("/")
        found[-1] += [first] if first else []
        found += [[part] if part else [] for part in rest]
    return [tuple(segment) for segment in found]


def _segment_within(
    ours: _Path, theirs: _Path, inner: CompiledHTTPCommand, outer: CompiledHTTPCommand, names: Names
) -> bool:
    if any(isinstance(piece, PathParameter) for piece in ours):
        return _pieces_within(ours, theirs, inner, outer, names)
    text = "".join(map(str, ours))
    place = next((piece for piece in theirs if isinstance(piece, PathParameter)), None)
    if place is None:
        return text == "".join(map(str, theirs))
    at = theirs.index(place)
    before, after = "".join(map(str, theirs[:at])), "".join(map(str, theirs[at + 1 :]))
    value = text[len(before) : len(text) - len(after)]
    whole = bool(value) and text == f"{before}{value}{after}"
    return whole and accepts(outer.types[place.name], value) and names.value(place.name, value)


def _checks_within(
    ours: Mapping[str, Check],
    theirs: Mapping[str, Check],
    inner: CompiledHTTPCommand,
    outer: CompiledHTTPCommand,
    names: Names,
) -> bool:
    """Whether every name of the child is one of the parent's and its values are no broader.

    The child must require what the parent requires.
    """
    needed = [name for name in theirs if name not in outer.optional]
    return all(name in ours and name not in inner.optional for name in needed) and all(
        name in theirs and _check_within(check, theirs[name], names) for name, check in ours.items()
    )


def _check_within(ours: Check, theirs: Check, names: Names) -> bool:
    if isinstance(ours, Exact):
        matched: dict[str, str] = {}
        value = ours.value
        fits = theirs.fault(value, matched) is None
        return fits and all(names.value(name, text) for name, text in matched.items())
    if isinstance(theirs, Exact) or ours.query != theirs.query:
        return False
    if not type_within(ours.type, theirs.type) or not (ours.query or _same_json(ours.type, theirs.type)):
        return False
    return theirs.name is None or names.place(theirs.name, ours.name if ours.name is not None else object())


def _same_json(inner: ParameterType, outer: ParameterType) -> bool:
    """Whether both types have the same representation in JSON. In a body, numbers and text are different."""
    return isinstance(inner, Int) == isinstance(outer, Int)


def _same_deny(
    deny: CompiledHTTPCommand, other: CompiledHTTPCommand, parent: CompiledSet, child: CompiledSet
) -> bool:
    def said(one: CompiledHTTPCommand, compiled: CompiledSet) -> tuple[object, ...]:
        return (
            one.template.method,
            _pieces(one, compiled.bindings),
            dict(one.types),
            dict(one.query),
            None if one.body is None else dict(one.body),
        )

    return said(deny, parent) == said(other, child)


def _may_meet(
    one: CompiledHTTPCommand, other: CompiledHTTPCommand, parent: CompiledSet, child: CompiledSet
) -> bool:
    """Whether one request could match both the child's and the parent's command. Returns True if in doubt."""
    if other.template.method not in (ANY, one.template.method):
        return False
    if one.deep or other.deep or any(isinstance(type_, PathBelow) for type_ in other.types.values()):
        return True
    ours = _segments(_pieces(one, child.bindings))
    theirs = _segments(_pieces(other, parent.bindings))
    # A deny matches with or without a trailing slash.
    while ours and not ours[-1]:
        ours.pop()
    while theirs and not theirs[-1]:
        theirs.pop()
    if len(ours) != len(theirs):
        return False
    return all(_alike(a, b) for a, b in zip(ours, theirs, strict=True))


def _alike(ours: _Path, theirs: _Path) -> bool:
    if any(isinstance(piece, PathParameter) for piece in (*ours, *theirs)):
        return True
    one, other = "".join(map(str, ours)), "".join(map(str, theirs))
    # Like a deny, this comparison treats i and ı as the same letter.
    return re.fullmatch(re.escape(other), one, re.IGNORECASE) is not None
