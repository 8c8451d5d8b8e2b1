"""Check whether one set of tool calls is within another, and at least as strict."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeGuard

from sessions_app.policy.commands.answers import budget_of
from sessions_app.policy.commands.budgets import looser
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.json_values.bodies import canonical_body
from sessions_app.policy.commands.json_values.checks import Exact, Typed
from sessions_app.policy.commands.mcp.compiling import AnyCheck, CompiledSet, CompiledToolCommand
from sessions_app.policy.commands.mcp.document import AfterUntrusted, MCPAllow
from sessions_app.policy.commands.mcp.results import ResultCheck
from sessions_app.policy.commands.mcp.shapes import Shape, ShapeCheck
from sessions_app.policy.commands.mcp.uris import URICheck
from sessions_app.policy.commands.parameters import Int
from sessions_app.policy.commands.within import UNDERSTATED, Names, type_within, understates

_TRUSTED = "would no longer count as untrusted"
_RANK: Mapping[AfterUntrusted, int] = {"allow": 0, "hold": 1, "refuse": 2}


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return why the child may allow a call that the parent does not allow, or allows only more strictly;
    None if it never does.

    Each call of the child must be one of the parent's, with arguments bound or narrowed. The child must deny
    what the parent denies, or not allow the tool. It must hold what the parent holds, mark tools as untrusted
    as the parent does, and never understate an effect.
    """
    allows = [one for one in child.commands if isinstance(one.rule, MCPAllow)]
    for one in allows:
        outers = parent.by_tool.get(one.name, ())
        if not any(_within(one, outer) for outer in outers):
            return f"{clip(one.text)} is not covered by the grant"
        if not one.held and any(_is_laxer(outer, child) for outer in outers if outer.held):
            return f"{clip(one.text)} would run without the approval that each call requires"
        if why := _forgets(one, outers, parent, child):
            return f"{clip(one.text)} {why}"
        for outer in outers:
            if understates(one.rule.effect, outer.rule.effect) and may_meet(one, outer):
                return f"{clip(one.text)} {UNDERSTATED}: {clip(outer.text)}"
            if may_meet(one, outer) and (why := looser(budget_of(one.rule), budget_of(outer.rule))):
                return f"{clip(one.text)} {why}"
        for deny in parent.denies:
            if deny.pattern.fullmatch(one.name) and not any(
                _same_deny(deny, other) for other in child.denies
            ):
                return f"{clip(one.text)} could match a denied request: {clip(deny.text)}"
    return None


def _forgets(
    one: CompiledToolCommand, outers: Collection[CompiledToolCommand], parent: CompiledSet, child: CompiledSet
) -> str | None:
    """Return in what way earlier results restrict a call less than the parent's calls of the tool."""
    if ":" not in one.name and one.name in parent.untrusted - child.untrusted:
        return _TRUSTED
    for outer in outers:
        if not may_meet(one, outer):
            continue
        if ":" in one.name and outer.untrusted and not one.untrusted:
            return _TRUSTED
        if _RANK[one.after] < _RANK[outer.after] and not (one.held and outer.after == "hold"):
            return "would be less restricted after an untrusted result"
        if not one.held and not _holds_others(one, outer, child):
            return "would run without the approval of values that are not from results"
    return None


def _holds_others(one: CompiledToolCommand, outer: CompiledToolCommand, child: CompiledSet) -> bool:
    """Whether the child holds or refuses every value that the parent's call holds."""
    theirs = {name: check for name, check in (outer.arguments or {}).items() if _lets_others(check)}
    ours = one.arguments or {}
    if all(
        name not in ours
        or (
            (isinstance(mine := ours[name], ResultCheck) and mine.others is None)
            and set(mine.fields) <= set(check.fields)
        )
        for name, check in theirs.items()
    ):
        return True
    return any(_within(outer, other, holding=True) for other in child.by_tool.get(outer.name, ()))


def _lets_others(check: AnyCheck) -> TypeGuard[ResultCheck]:
    return isinstance(check, ResultCheck) and check.others is not None


def _within(inner: CompiledToolCommand, outer: CompiledToolCommand, *, holding: bool = False) -> bool:
    """Whether the outer command returns the same decision for each call that the inner command allows or,
    with ``holding``, for each call that the inner command holds because a value is not from a result.
    """
    ours, theirs = inner.arguments or {}, outer.arguments or {}
    needed = [name for name in theirs if name not in outer.optional]
    names = Names()

    def fits(one: AnyCheck, other: AnyCheck) -> bool:
        if isinstance(one, ResultCheck) or isinstance(other, ResultCheck):
            return _result_within(one, other, names, held=inner.held, holding=holding)
        return _check_within(one, other, names)

    return all(name in ours and name not in inner.optional for name in needed) and all(
        name in theirs and fits(check, theirs[name]) for name, check in ours.items()
    )


def _result_within(ours: AnyCheck, theirs: AnyCheck, names: Names, *, held: bool, holding: bool) -> bool:
    if not isinstance(theirs, ResultCheck):
        return False
    if not isinstance(ours, ResultCheck):
        # The outer command would hold the value, unless it happens to be from a result.
        if not held or theirs.others is None or theirs.most is not None:
            return False
        return _check_within(ours, theirs.others, names)
    fewer, more = (theirs, ours) if holding else (ours, theirs)
    size = (ours.most is None) == (theirs.most is None) and (ours.most or 0) <= (theirs.most or 0)
    others = ours.others is None or (
        theirs.others is not None and _check_within(ours.others, theirs.others, names)
    )
    return size and others and set(fewer.fields) <= set(more.fields)


def _check_within(ours: AnyCheck, theirs: AnyCheck, names: Names) -> bool:
    if isinstance(ours, Exact):
        matched: dict[str, str] = {}
        fits = theirs.fault(ours.value, matched) is None
        return fits and all(names.value(name, text) for name, text in matched.items())
    if isinstance(ours, Typed) and isinstance(theirs, Typed):
        # Numbers and text are different.
        same = isinstance(ours.type, Int) == isinstance(theirs.type, Int)
        if not same or not type_within(ours.type, theirs.type):
            return False
        return theirs.name is None or names.place(
            theirs.name, ours.name if ours.name is not None else object()
        )
    if isinstance(ours, URICheck) and isinstance(theirs, URICheck):
        return _uri_within(ours, theirs, names)
    return isinstance(ours, ShapeCheck) and isinstance(theirs, ShapeCheck) and _same_shape(ours, theirs)


def _uri_within(ours: URICheck, theirs: URICheck, names: Names) -> bool:
    if ours.scheme != theirs.scheme or len(ours.parts) != len(theirs.parts):
        return False
    return all(
        other is None or (one is not None and _check_within(one, other, names))
        for one, other in zip(ours.parts, theirs.parts, strict=True)
    )


def _same_shape(ours: ShapeCheck, theirs: ShapeCheck) -> bool:
    """Whether two shapes are the same, with the same parameter values. Different shapes are not compared."""
    return _text(ours.shape) == _text(theirs.shape) and all(
        isinstance(bound := ours.resolve(f"{{{name}}}"), Exact) and bound == theirs.resolve(f"{{{name}}}")
        for name in ours.shape.names
    )


def may_meet(one: CompiledToolCommand, other: CompiledToolCommand) -> bool:
    """Whether some call could match both commands. Returns True if in doubt."""
    ours, theirs = one.arguments or {}, other.arguments or {}
    needed = {
        *(name for name in ours if name not in one.optional),
        *(name for name in theirs if name not in other.optional),
    }
    return all(name in ours and name in theirs and _alike(ours[name], theirs[name]) for name in needed)


def _alike(one: AnyCheck, other: AnyCheck) -> bool:
    if isinstance(one, URICheck) and isinstance(other, URICheck):
        pairs = zip(one.parts, other.parts, strict=False)
        return (one.scheme, len(one.parts)) == (other.scheme, len(other.parts)) and all(
            ours is None or theirs is None or _alike(ours, theirs) for ours, theirs in pairs
        )
    if isinstance(one, Exact):
        return other.fault(one.value, {}) is None
    return not isinstance(other, Exact) or one.fault(other.value, {}) is None


def _is_laxer(held: CompiledToolCommand, child: CompiledSet) -> bool:
    """Whether a call that the parent holds could run without a hold under the child."""
    return not any(other.held and _within(held, other) for other in child.by_tool.get(held.name, ()))


def _same_deny(deny: CompiledToolCommand, other: CompiledToolCommand) -> bool:
    return deny.pattern == other.pattern and _said(deny.arguments) == _said(other.arguments)


def _said(arguments: Mapping[str, AnyCheck] | None) -> object:
    """Return the limits on arguments in a comparable form.

    Shapes that refer to parameters are not comparable.
    """
    if arguments is None:
        return None
    return {
        name: _text(check.shape) if isinstance(check, ShapeCheck) and not check.shape.names else check
        for name, check in arguments.items()
    }


def _text(shape: Shape) -> str:
    """Return the text of a shape for comparison.

    In Python, a const of 1 equals one of true, and a null const equals a missing one.
    """
    return canonical_body(shape.model_dump(mode="json", by_alias=True, exclude_unset=True))
