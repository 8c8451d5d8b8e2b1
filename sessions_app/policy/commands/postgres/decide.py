"""Privileges on PostgreSQL: the only function that decides for the tester, the API and the pages, and the
privileges that the connector grants.

A line is allowed if the set has every privilege that it names. A privilege on a table covers its columns. A
privilege on an object in a schema includes USAGE on that schema. The privileges of a template role are up to
the administrator: `ROLE reporting_reader` is allowed, not what that role may read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import Allowed, CommandView, CompileError, Refused, free_parameter
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.parameters import Choice, ParameterType, ValueRefused
from sessions_app.policy.commands.postgres.document import PostgresCommandSet, PostgresRule
from sessions_app.policy.commands.postgres.lines import LineRefused, check_name, parse_line
from sessions_app.policy.commands.postgres.privileges import Privilege, Slot
from sessions_app.policy.commands.postgres.roles import role_fault
from sessions_app.policy.documents import Problem


@dataclass(frozen=True, slots=True)
class CompiledPostgresCommand(answers.CompiledCommand):
    """One command of a compiled set: its privileges with bound values in place, and the types of its free
    parameters.
    """

    rule: PostgresRule
    privileges: tuple[Privilege, ...]
    types: Mapping[str, ParameterType]

    @property
    def strictness(self) -> tuple[int, int]:
        """The sort key: destructive before change before read, then document order."""
        return (EFFECT_RANK[self.rule.effect], self.index)


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The privileges of one grant, compiled for `decide` and for the connector."""

    commands: tuple[CompiledPostgresCommand, ...]
    left_out: tuple[CompiledPostgresCommand, ...]

    def privileges(self) -> tuple[Privilege, ...]:
        """Return every privilege that the grant's role gets, each once, including USAGE on schemas.

        All names are complete.

        Raises ValueError for a set that was compiled without values.
        """
        found = (
            one.filled(values)
            for command in self.commands
            for values in command.rule.choices()
            for one in _with_schemas(command.privileges)
        )
        every = tuple(dict.fromkeys(found))
        for one in every:
            _ = one.plain_names
        return every

    def template_roles(self) -> tuple[str, ...]:
        """Return the template roles that a grant may get, each once, including every open choice."""
        found = (
            name
            for command in self.commands
            for one in command.privileges
            if one.kind == "role"
            for name in _choices(one.names[0], command.types)
        )
        return tuple(dict.fromkeys(found))


def _choices(name: str | Slot, types: Mapping[str, ParameterType]) -> tuple[str, ...]:
    if isinstance(name, str):
        return (name,)
    type_ = types[name.name]
    return type_.choices if isinstance(type_, Choice) else ()


def compile_set(
    document: PostgresCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the privileges with the grant's values in place. `keep` are the indices that the approvers kept
    (None: all).

    Raises CompileError for a missing, unknown or refused value, and for an index that the set does not have.
    """
    check_kept(document, keep)
    bound = bind(document, bindings)
    _check_names(document, bound)
    return _compile(document, bound, keep)


def compile_open(document: PostgresCommandSet) -> CompiledSet:
    """Return the set with no values bound. Its parameters are free within their types."""
    return _compile(document, {}, None)


def _check_names(document: PostgresCommandSet, bound: Mapping[str, str]) -> None:
    """Check that each value is one whole name, and not a role that no grant may include."""
    for one in (one for rule in document.commands for one in rule.privileges()):
        for name in one.slots:
            fault = _value_fault(one, bound[name]) if name in bound else None
            if fault:
                raise CompileError([Problem(f"parameters.{name}", fault)])


def _value_fault(one: Privilege, value: str) -> str | None:
    try:
        check_name(value)
    except LineRefused as error:
        return error.reason
    fault = role_fault(value) if one.kind == "role" else None
    return f"{clip(value)} {fault}: name another role" if fault else None


def _compile(
    document: PostgresCommandSet, bound: Mapping[str, str], keep: Collection[int] | None
) -> CompiledSet:
    commands = [_compile_rule(document, index, rule, bound) for index, rule in enumerate(document.commands)]
    kept = tuple(command for command in commands if keep is None or command.index in keep)
    left_out = tuple(command for command in commands if command not in kept)
    return CompiledSet("postgres", document.name, dict(bound), kept, left_out)


def _compile_rule(
    document: PostgresCommandSet, index: int, rule: PostgresRule, bound: Mapping[str, str]
) -> CompiledPostgresCommand:
    privileges = tuple(one.filled(bound) for one in rule.privileges())
    return CompiledPostgresCommand(
        index, rule, privileges, {name: document.type_of(rule, name) for name in rule.names}
    )


def _with_schemas(privileges: Sequence[Privilege]) -> Iterator[Privilege]:
    for one in privileges:
        if one.schema_usage:
            yield one.schema_usage
        yield one


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide whether the grant's role has the privileges that this line names, and in what form.

    Never raises because of a line.
    """
    try:
        asked = parse_line(line)
    except LineRefused as error:
        return Refused(error.reason, None, "syntax")
    found: list[CompiledPostgresCommand] = []
    matched: dict[str, str] = {}
    for one in asked:
        command, values = _first(compiled.commands, one)
        if command is None:
            return _explain(compiled, one)
        found.append(command)
        matched |= values
    strictest = min(found, key=lambda command: command.strictness)
    return Allowed(strictest.index, strictest.rule.effect, False, None, matched, _words(asked))


def _words(asked: Sequence[Privilege]) -> tuple[str, ...]:
    """Return the line in canonical form, split at spaces."""
    first = asked[0]
    if first.kind == "role":
        return tuple(("ROLE " + ", ".join(str(one).removeprefix("ROLE ") for one in asked)).split(" "))
    wanted = ", ".join(str(one).split(" ON ", 1)[0] for one in asked)
    return tuple(f"{wanted} ON {_target(first)}".split(" "))


def _target(one: Privilege) -> str:
    whole = Privilege("table", one.privilege, one.names[:2]) if one.kind == "column" else one
    return str(whole).split(" ON ", 1)[1]


def _first(
    commands: Sequence[CompiledPostgresCommand], asked: Privilege
) -> tuple[CompiledPostgresCommand | None, Mapping[str, str]]:
    for command in sorted(commands, key=lambda command: command.strictness):
        for one in _with_schemas(command.privileges):
            matched = _match(one, asked, command.types)
            if matched is not None:
                return command, matched
    return None, {}


def _match(granted: Privilege, asked: Privilege, types: Mapping[str, ParameterType]) -> dict[str, str] | None:
    """Return the values with which the granted privilege covers the requested one; None if it does not."""
    covers = granted.kind == asked.kind or (granted.kind, asked.kind) == ("table", "column")
    if not covers or granted.privilege != asked.privilege or granted.arguments != asked.arguments:
        return None
    matched: dict[str, str] = {}
    for name, wanted in zip(granted.names, asked.plain_names, strict=False):
        if isinstance(name, Slot):
            if not _accepts(types[name.name], wanted) or matched.setdefault(name.name, wanted) != wanted:
                return None
        elif name != wanted:
            return None
    return None if asked.kind == "role" and role_fault(asked.plain_names[0]) else matched


def _accepts(type_: ParameterType, value: str) -> bool:
    try:
        type_.accept(value)
    except ValueRefused:
        return False
    return True


def _explain(compiled: CompiledSet, asked: Privilege) -> Refused:
    """Explain why nothing matches, with the nearest privilege."""
    if asked.kind == "role" and (fault := role_fault(asked.plain_names[0])):
        return Refused(f"{asked.plain_names[0]} {fault}: no grant can include it", None, "role")
    if _first(compiled.left_out, asked)[0] is not None:
        return Refused("the approvers excluded this command from the grant", None, "left_out")
    if not compiled.commands:
        return Refused("nothing is allowed here: the list of commands is empty", None, "empty")
    every = [one for command in compiled.commands for one in command.privileges]
    nearest = max(every, key=lambda one: _likeness(one, asked))
    return Refused(
        _difference(nearest, asked), str(nearest), "privilege" if _same(nearest, asked) else "object"
    )


def _likeness(one: Privilege, asked: Privilege) -> tuple[int, bool, bool]:
    same = 0
    for name, wanted in zip(one.names, asked.names, strict=False):
        if name != wanted:
            break
        same += 1
    return (same, one.kind == asked.kind, one.privilege == asked.privilege)


def _same(one: Privilege, asked: Privilege) -> bool:
    return one.names[:2] == asked.names[:2]


def _difference(nearest: Privilege, asked: Privilege) -> str:
    if asked.kind == "role":
        return f"the role {clip(asked.plain_names[0])} is not one of those granted here"
    if _same(nearest, asked) and nearest.kind == "column" and asked.kind == "table":
        return (
            f"{asked.privilege} on the whole of {_target(asked)} is not granted, only on some of its columns"
        )
    if _same(nearest, asked):
        return f"{str(asked).split(' ON ', maxsplit=1)[0]} is not granted on {_target(asked)}"
    return f"nothing is granted on {_target(asked)}"


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the commands of a grant in document order, with bound values and the values that are free."""
    return [_view(command) for command in compiled.commands]


def _view(command: CompiledPostgresCommand) -> CommandView:
    names = dict.fromkeys(name for one in command.privileges for name in one.slots)
    usage = dict.fromkeys(str(one.schema_usage) for one in command.privileges if one.schema_usage)
    return CommandView(
        index=command.index,
        text=" ".join(_words(command.privileges)),
        free=tuple(free_parameter(name, command.types[name]) for name in names),
        effect=command.rule.effect,
        detail=tuple(f"with {text}" for text in usage),
    )
