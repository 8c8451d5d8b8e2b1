"""Whether one check of a request's query and body is within another. If this can't be proven, the answer is
no.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sessions_app.policy.commands.argv.templates import Slot as SSHSlot
from sessions_app.policy.commands.argv.within import words_within
from sessions_app.policy.commands.kubernetes.applying import Applies
from sessions_app.policy.commands.kubernetes.checks import (
    ANYTHING,
    Check,
    Logs,
    Reads,
    ReadsEvents,
    Writes,
)
from sessions_app.policy.commands.kubernetes.deleting import Deletes
from sessions_app.policy.commands.kubernetes.entering import Enters, Forwards
from sessions_app.policy.commands.kubernetes.texts import Slot, Text, literal, match
from sessions_app.policy.commands.kubernetes.undoing import Undoes
from sessions_app.policy.commands.kubernetes.wants import (
    Count,
    Differs,
    Listed,
    Moment,
    Said,
    Typed,
    Types,
    Want,
)
from sessions_app.policy.commands.parameters import Int, ParameterType
from sessions_app.policy.commands.within import Names, type_within


def check_within(inner: Check, outer: Check, types: Types, given: Types, names: Names) -> bool:
    """Whether the outer check accepts everything that the inner one accepts.

    `types` are the types of the inner check's parameters, `given` those of the outer check's, and `names`
    maps each outer parameter to its counterpart.
    """
    if outer is ANYTHING:
        return not isinstance(inner, Enters | Forwards)
    if isinstance(outer, Reads):
        return isinstance(inner, Reads | ReadsEvents)
    return type(inner) is type(outer) and _WITHIN[type(outer)](inner, outer, _Both(types, given, names))


class _Both:
    """The parameters of both checks."""

    def __init__(self, types: Types, given: Types, names: Names) -> None:
        self.types, self.given, self.names = types, given, names

    def text(self, inner: Text, outer: Text) -> bool:
        return text_within(inner, outer, self.types, self.given, self.names)

    def option(self, inner: Text | None, outer: Text | None) -> bool:
        """Whether one option is within another, given whether each requires, allows or excludes a value."""
        return outer is None or (inner is not None and self.text(inner, outer))

    def fields(self, inner: Writes | Applies, outer: Writes | Applies) -> bool:
        found = {one.path: one.want for one in outer.fields}
        return all(one.path in found and self.want(one.want, found[one.path]) for one in inner.fields)

    def want(self, inner: Want, outer: Want) -> bool:
        if isinstance(inner, Listed):
            return all(self._takes(outer, value) for value in inner.values)
        if isinstance(inner, Said) and literal(inner.text) is not None:
            return self._takes(outer, inner.sample())
        if isinstance(inner, Said) and isinstance(outer, Said):
            return inner.number == outer.number and self.text(inner.text, outer.text)
        if isinstance(inner, Count | Moment):
            return type(inner) is type(outer)
        type_ = self._type_of(inner)
        return type_ is not None and self._type_within(type_, outer)

    def _takes(self, outer: Want, value: object) -> bool:
        try:
            found = outer.take(value, self.given, {})
        except Differs:
            return False
        return all(self.names.value(name, text) for name, text in found.items())

    def _type_of(self, want: Want) -> ParameterType | None:
        if isinstance(want, Typed):
            return want.type_
        if isinstance(want, Said) and len(want.text) == 1 and isinstance(want.text[0], Slot):
            return self.types[want.text[0].name]
        return None

    def _type_within(self, type_: ParameterType, outer: Want) -> bool:
        if isinstance(outer, Count):
            return isinstance(type_, Int) and type_.bounds[0] >= 0
        if isinstance(outer, Typed):
            return type_within(type_, outer.type_) and isinstance(type_, Int) is isinstance(outer.type_, Int)
        if isinstance(outer, Said) and len(outer.text) == 1 and isinstance(slot := outer.text[0], Slot):
            same_kind = isinstance(type_, Int) is outer.number
            return (
                same_kind
                and type_within(type_, self.given[slot.name])
                and self.names.place(slot.name, object())
            )
        return False


def text_within(inner: Text, outer: Text, types: Types, given: Types, names: Names) -> bool:
    """Whether every text that `inner` matches is also matched by `outer`."""
    if (text := literal(inner)) is not None:
        found = match(outer, text, given, {})
        return found is not None and all(names.value(name, value) for name, value in found.items())
    return len(inner) == len(outer) and all(
        _piece_within(one, other, types, given, names) for one, other in zip(inner, outer, strict=True)
    )


def _piece_within(inner: str | Slot, outer: str | Slot, types: Types, given: Types, names: Names) -> bool:
    if isinstance(inner, Slot) and isinstance(outer, Slot):
        return type_within(types[inner.name], given[outer.name]) and names.place(outer.name, inner.name)
    return inner == outer


def _events(inner: ReadsEvents, outer: ReadsEvents, both: _Both) -> bool:
    return all(any(both.text(one, other) for other in outer.names_of) for one in inner.names_of)


def _logs(inner: Logs, outer: Logs, both: _Both) -> bool:
    return (
        both.option(inner.container, outer.container)
        and both.option(inner.tail, outer.tail)
        and outer.follow >= inner.follow
        and inner.previous >= outer.previous
    )


def _writes(inner: Writes, outer: Writes, both: _Both) -> bool:
    return len(inner.fields) == len(outer.fields) and both.fields(inner, outer)


def _applies(inner: Applies, outer: Applies, both: _Both) -> bool:
    same = (inner.api_version, inner.kind) == (outer.api_version, outer.kind)
    named = not outer.names_of or (
        bool(inner.names_of)
        and all(any(both.text(one, other) for other in outer.names_of) for one in inner.names_of)
    )
    return (
        same
        and outer.create >= inner.create
        and inner.manager in (None, outer.manager)
        and named
        and both.fields(inner, outer)
    )


def _deletes(inner: Deletes, outer: Deletes, both: _Both) -> bool:
    return inner.grace is None or (outer.grace is not None and both.text(inner.grace, outer.grace))


def _enters(inner: Enters, outer: Enters, both: _Both) -> bool:
    return (
        both.text(inner.container, outer.container)
        and outer.stdin >= inner.stdin
        and outer.tty >= inner.tty
        and words_within(inner.words, outer.words, both.types, both.given, both.names)
    )


def _forwards(inner: Forwards, outer: Forwards, both: _Both) -> bool:
    return set(inner.listed(both.types)) <= set(outer.listed(both.given))


_WITHIN: dict[type, Callable[[Any, Any, _Both], bool]] = {
    ReadsEvents: _events,
    Logs: _logs,
    Writes: _writes,
    Applies: _applies,
    Deletes: _deletes,
    Enters: _enters,
    Forwards: _forwards,
    Undoes: lambda inner, outer, _: inner == outer,
}


def may_carry_the_same(one: Check, other: Check) -> bool:
    """Whether some request could pass both checks. Returns True if in doubt."""
    if {type(one), type(other)} <= {Writes, Applies, Undoes} and type(one) is not type(other):
        # A rollback replaces a whole template, but these fields are values inside a template.
        return Undoes not in (type(one), type(other))
    if isinstance(one, Writes) and isinstance(other, Writes):
        return {field.path for field in one.fields} == {field.path for field in other.fields}
    if isinstance(one, Enters) and isinstance(other, Enters):
        return len(one.words) == len(other.words) and all(
            first == second or any(isinstance(piece, SSHSlot) for piece in (*first, *second))
            for first, second in zip(one.words, other.words, strict=True)
        )
    return True
