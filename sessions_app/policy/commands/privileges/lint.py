"""Shared by the linters for databases: findings about non-obvious effects of a set of privileges."""

from __future__ import annotations

from collections.abc import Iterator

from sessions_app.policy.commands.document import CommandRule, Effect
from sessions_app.policy.commands.findings import Finding, Severity
from sessions_app.policy.commands.parameters import Choice, ParameterType
from sessions_app.policy.commands.privileges.document import PrivilegeRule, PrivilegeSet
from sessions_app.policy.commands.privileges.privilege import Privilege, Slot

_WRITES = frozenset(("INSERT", "UPDATE", "DELETE", "TRUNCATE"))
_LOOSE = frozenset(("name", "pattern", "path", "cidr", "duration", "int"))
_SECRET = ("password", "passwd", "secret", "token", "credential", "api_key", "private_key")


def values_of(document: PrivilegeSet, rule: CommandRule, one: Privilege) -> list[tuple[str, ...] | None]:
    """Return the values that each name of a privilege can have; None if they are not listed."""
    return [_values(document, rule, name) for name in one.names]


def _values(document: PrivilegeSet, rule: CommandRule, name: str | Slot) -> tuple[str, ...] | None:
    if isinstance(name, str):
        return (name,)
    type_ = document.type_of(rule, name.name)
    return type_.choices if isinstance(type_, Choice) else None


def name_findings(document: PrivilegeSet, rule: CommandRule, one: Privilege, where: str) -> Iterator[Finding]:
    """Find names that are open, look like other names, or suggest secrets."""
    for name, known in zip(one.names, values_of(document, rule, one), strict=True):
        if known is None and isinstance(name, Slot):
            yield from _open_name(document.type_of(rule, name.name), name.name, one, where)
    yield from _look_alikes(one, where)
    yield from _secrets(one, where)


def _open_name(type_: ParameterType, name: str, one: Privilege, where: str) -> Iterator[Finding]:
    if one.names[0] == Slot(name) and one.kind != "database":
        yield Finding(
            "error",
            "free_schema",
            where,
            f"{{{name}}} lets the requester choose any schema, including system schemas",
            "write out the schema, or use a choice of schemas",
        )
    elif type_.kind in _LOOSE:
        yield Finding(
            "warning",
            "free_name",
            where,
            f"{{{name}}} is {type_.limits}: a grant could name objects that are created later",
            "use a choice, or accept the finding and state why every value is safe",
        )


def _look_alikes(one: Privilege, where: str) -> Iterator[Finding]:
    if not str(one).isascii():
        yield Finding(
            "warning",
            "look_alike",
            where,
            "the names contain letters that look like other letters",
            "check that each letter is the intended one",
        )


def _secrets(one: Privilege, where: str) -> Iterator[Finding]:
    named = [name for name in one.names[1:] if isinstance(name, str)]
    if one.privilege == "SELECT" and any(word in name.lower() for name in named for word in _SECRET):
        yield Finding(
            "warning",
            "secret",
            where,
            f"`{one}` looks like it contains passwords or keys",
            "grant SELECT only on the other columns, or accept that the holder can read it",
        )


def effect_findings(rule: PrivilegeRule, index: int) -> Iterator[Finding]:
    """Check that the effect, on which approvers rely, does not understate the privileges."""
    where = f"commands[{index}].effect"
    given = {one.privilege for one in rule.privileges()}
    if rule.effect == "read" and given & _WRITES:
        words = ", ".join(sorted(given & _WRITES))
        yield _effect("error", where, f"{words} changes data, but its effect is `read`", "change")
    elif rule.effect != "destructive" and "TRUNCATE" in given:
        yield _effect(
            "error",
            where,
            "TRUNCATE empties the table immediately and bypasses its row triggers",
            "destructive",
        )
    elif rule.effect != "destructive" and "DELETE" in given:
        yield _effect("warning", where, "DELETE without a condition empties the table", "destructive")
    elif rule.effect == "read" and "EXECUTE" in given:
        yield _effect(
            "warning", where, "a function can change data, possibly with its owner's privileges", "change"
        )


def _effect(severity: Severity, where: str, message: str, effect: Effect) -> Finding:
    return Finding(severity, "effect", where, message, f"set effect: {effect}")


def overlaps(document: PrivilegeSet) -> Iterator[Finding]:
    """Find privileges that several commands have."""
    seen: dict[Privilege, int] = {}
    for index, rule in enumerate(document.commands):
        for one in rule.privileges():
            first = seen.setdefault(one, index)
            first = min(first, seen.get(one.whole, first))
            if first != index:
                yield Finding(
                    "warning",
                    "overlap",
                    f"commands[{index}].grant",
                    f"`{one}` is also in commands[{first}]: the stricter one applies",
                    "remove one of them",
                )
