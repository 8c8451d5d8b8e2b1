"""The decision on privileges, and the privileges that a connector grants. The tester, the API and the pages
all use this decision.

A line is allowed if the set contains every privilege that the line names. A privilege on a table covers its
columns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import Allowed, CommandView, CompileError, Refused, free_parameter
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.parameters import Choice, ParameterType, ValueRefused
from sessions_app.policy.commands.privileges.document import PrivilegeRule, PrivilegeSet
from sessions_app.policy.commands.privileges.privilege import Privilege, Slot
from sessions_app.policy.commands.privileges.reading import LineRefused
from sessions_app.policy.documents import Problem


@dataclass(frozen=True, slots=True)
class CompiledPrivileges(answers.CompiledCommand):
    """One command of a compiled set: its privileges with bound values inserted, and the types of its free
    parameters.
    """

    rule: PrivilegeRule
    privileges: tuple[Privilege, ...]
    types: Mapping[str, ParameterType]

    def granted(self) -> Iterator[Privilege]:
        """Yield the command's privileges for every combination of listed values; nothing if a parameter
        is open.
        """
        names = dict.fromkeys(name for one in self.privileges for name in one.slots)
        listed = {name: type_.choices for name in names if isinstance(type_ := self.types[name], Choice)}
        for values in product(*listed.values()):
            for one in self.privileges:
                full = one.filled(dict(zip(listed, values, strict=True)))
                if not full.slots:
                    yield full

    @property
    def strictness(self) -> tuple[int, int]:
        """The sort key: destructive before change before read, then document order."""
        return (EFFECT_RANK[self.rule.effect], self.index)


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The privileges of one grant, compiled for `decide` and for the connector."""

    commands: tuple[CompiledPrivileges, ...]
    left_out: tuple[CompiledPrivileges, ...]

    def privileges(self) -> tuple[Privilege, ...]:
        """Return every privilege of the grant's account, without duplicates, with complete names.

        Raises ValueError for a set that was compiled without values.
        """
        found = (
            one.filled(values)
            for command in self.commands
            for values in command.rule.choices()
            for one in _with_included(command.privileges)
        )
        every = tuple(dict.fromkeys(found))
        for one in every:
            _ = one.plain_names
        return every


_Set = TypeVar("_Set", bound=CompiledSet)


@dataclass(frozen=True, slots=True)
class Dialect:
    """The differences between database servers.

    ``parse_line`` returns the privileges of a line, or raises LineRefused. ``fault`` returns, as a clause,
    why no grant can include a privilege with complete names; None if grants can. ``instead`` is the advice
    that follows such a reason. ``target`` returns the object of a privilege as a line names it, and ``words``
    the words of a line.
    """

    parse_line: Callable[[str], tuple[Privilege, ...]]
    fault: Callable[[Privilege], str | None]
    instead: str
    target: Callable[[Privilege], str]
    words: Callable[[Sequence[Privilege]], tuple[str, ...]]

    def compile(
        self,
        made: type[_Set],
        document: PrivilegeSet,
        bindings: Mapping[str, str],
        keep: Collection[int] | None = None,
    ) -> _Set:
        """Return the privileges with the grant's values in place. `keep` are the indices that the approvers
        kept (None: all).

        Raises CompileError for a missing, unknown or refused value, and for an index that the set does not
        have.
        """
        check_kept(document, keep)
        bound = bind(document, bindings)
        self._check_names(document, bound)
        return _compile(made, document, bound, keep)

    def open(self, made: type[_Set], document: PrivilegeSet) -> _Set:
        """Return the set with no values bound. Its parameters are free within their types."""
        return _compile(made, document, {}, None)

    def decide(self, compiled: CompiledSet, line: str) -> Allowed | Refused:
        """Decide whether the grant's account has the privileges that this line names, and in what form.

        Never raises because of a line.
        """
        try:
            asked = self.parse_line(line)
        except LineRefused as error:
            return Refused(error.reason, None, "syntax")
        found: list[CompiledPrivileges] = []
        matched: dict[str, str] = {}
        for one in asked:
            command, values = self._first(compiled.commands, one)
            if command is None:
                return self._explain(compiled, one)
            found.append(command)
            matched |= values
        strictest = min(found, key=lambda command: command.strictness)
        return Allowed(strictest.index, strictest.rule.effect, False, None, matched, self.words(asked))

    def covers(self, parent: CompiledSet, child: CompiledSet) -> str | None:
        """Return, as a clause, a privilege of the child that the parent's account does not have; None if it
        has all of them.
        """
        try:
            given, asked = frozenset(parent.privileges()), child.privileges()
        except ValueError as error:
            return str(error)
        for one in asked:
            if one not in given and one.whole not in given:
                return f"{clip(str(one))} is not covered by the grant"
        return None

    def describe(self, compiled: CompiledSet) -> list[CommandView]:
        """Return the commands of a grant in document order, with their bound and free values."""
        return [self._view(command) for command in compiled.commands]

    def _view(self, command: CompiledPrivileges) -> CommandView:
        names = dict.fromkeys(name for one in command.privileges for name in one.slots)
        included = dict.fromkeys(str(one.included) for one in command.privileges if one.included)
        return CommandView(
            index=command.index,
            text=" ".join(self.words(command.privileges)),
            free=tuple(free_parameter(name, command.types[name]) for name in names),
            effect=command.rule.effect,
            detail=tuple(f"with {text}" for text in included),
        )

    def _check_names(self, document: PrivilegeSet, bound: Mapping[str, str]) -> None:
        """Check that each value is one whole name, and that grants can include the named object."""
        for rule in document.commands:
            for one in rule.privileges():
                for name in one.slots:
                    fault = self._value_fault(rule, one, name, bound) if name in bound else None
                    if fault:
                        raise CompileError([Problem(f"parameters.{name}", fault)])

    def _value_fault(
        self, rule: PrivilegeRule, one: Privilege, name: str, bound: Mapping[str, str]
    ) -> str | None:
        try:
            rule.check_name(bound[name])
        except LineRefused as error:
            return error.reason
        full = one.filled(bound)
        fault = self.fault(full) if not full.slots else None
        return f"{clip(bound[name])} {fault}: {self.instead}" if fault else None

    def _first(
        self, commands: Sequence[CompiledPrivileges], asked: Privilege
    ) -> tuple[CompiledPrivileges | None, Mapping[str, str]]:
        if self.fault(asked):
            return None, {}
        for command in sorted(commands, key=lambda command: command.strictness):
            for one in _with_included(command.privileges):
                matched = _match(one, asked, command.types)
                if matched is not None:
                    return command, matched
        return None, {}

    def _explain(self, compiled: CompiledSet, asked: Privilege) -> Refused:
        """Explain why nothing matches, with the nearest privilege."""
        if fault := self.fault(asked):
            code = "role" if asked.kind == "role" else "object"
            return Refused(f"{asked.plain_names[0]} {fault}: no grant can include it", None, code)
        if self._first(compiled.left_out, asked)[0] is not None:
            return Refused("the approvers excluded this command from the grant", None, "left_out")
        if not compiled.commands:
            return Refused("nothing is allowed: the list of commands is empty", None, "empty")
        every = [one for command in compiled.commands for one in command.privileges]
        nearest = max(every, key=lambda one: _likeness(one, asked))
        code = "privilege" if _same(nearest, asked) else "object"
        return Refused(self._difference(nearest, asked), str(nearest), code)

    def _difference(self, nearest: Privilege, asked: Privilege) -> str:
        target = self.target(asked)
        if asked.kind == "role":
            return f"the role {clip(asked.plain_names[0])} is not one of the roles granted here"
        if _same(nearest, asked) and nearest.kind == "column" and asked.kind == "table":
            return f"{asked.privilege} on the whole of {target} is not granted, only on some of its columns"
        if _same(nearest, asked):
            return f"{str(asked).split(' ON ', maxsplit=1)[0]} is not granted on {target}"
        return f"nothing is granted on {target}"


def target_text(one: Privilege) -> str:
    """Return the object of a privilege as a line names it; the table of a column."""
    return str(one.whole).split(" ON ", 1)[1]


def line_words(asked: Sequence[Privilege]) -> tuple[str, ...]:
    """Return the privileges of one object as a line in canonical form, split at spaces."""
    wanted = ", ".join(str(one).split(" ON ", 1)[0] for one in asked)
    return tuple(f"{wanted} ON {target_text(asked[0])}".split(" "))


def _compile(
    made: type[_Set], document: PrivilegeSet, bound: Mapping[str, str], keep: Collection[int] | None
) -> _Set:
    commands = [_compile_rule(document, index, rule, bound) for index, rule in enumerate(document.commands)]
    kept = tuple(command for command in commands if keep is None or command.index in keep)
    left_out = tuple(command for command in commands if command not in kept)
    return made(document.kind, document.name, dict(bound), kept, left_out)


def _compile_rule(
    document: PrivilegeSet, index: int, rule: PrivilegeRule, bound: Mapping[str, str]
) -> CompiledPrivileges:
    privileges = tuple(one.filled(bound) for one in rule.privileges())
    types = {name: document.type_of(rule, name) for name in rule.names}
    return CompiledPrivileges(index, rule, privileges, types)


def _with_included(privileges: Sequence[Privilege]) -> Iterator[Privilege]:
    for one in privileges:
        if one.included:
            yield one.included
        yield one


def _match(granted: Privilege, asked: Privilege, types: Mapping[str, ParameterType]) -> dict[str, str] | None:
    """Return the values with which the granted privilege covers the requested one; None if it does not."""
    covers = granted.kind == asked.kind or (granted.kind, asked.kind) == ("table", "column")
    if not covers or granted.privilege != asked.privilege or granted.same_object != asked.same_object:
        return None
    matched: dict[str, str] = {}
    for name, wanted in zip(granted.names, asked.plain_names, strict=False):
        if isinstance(name, Slot):
            if not _accepts(types[name.name], wanted) or matched.setdefault(name.name, wanted) != wanted:
                return None
        elif name != wanted:
            return None
    return matched


def _accepts(type_: ParameterType, value: str) -> bool:
    try:
        type_.accept(value)
    except ValueRefused:
        return False
    return True


def _likeness(one: Privilege, asked: Privilege) -> tuple[int, bool, bool]:
    same = 0
    for name, wanted in zip(one.names, asked.names, strict=False):
        if name != wanted:
            break
        same += 1
    return (same, one.kind == asked.kind, one.privilege == asked.privilege)


def _same(one: Privilege, asked: Privilege) -> bool:
    return one.names[:2] == asked.names[:2]
