"""The linter for PostgreSQL: what a set of privileges allows beyond what is obvious."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sessions_app.policy.commands.document import Effect
from sessions_app.policy.commands.findings import Finding, Severity, document_findings
from sessions_app.policy.commands.parameters import Choice, ParameterType
from sessions_app.policy.commands.postgres.document import PostgresCommandSet, PostgresRule
from sessions_app.policy.commands.postgres.privileges import Privilege, Slot
from sessions_app.policy.commands.postgres.roles import SCHEDULERS, WIDE, role_fault

_WRITES = frozenset(("INSERT", "UPDATE", "DELETE", "TRUNCATE"))
_SYSTEM = frozenset(("pg_catalog", "information_schema", "pg_toast"))
_LOOSE = frozenset(("name", "pattern", "path", "cidr", "duration", "int"))
_SECRET = ("password", "passwd", "secret", "token", "credential", "api_key", "private_key")


def lint(document: PostgresCommandSet) -> list[Finding]:
    """Return all findings, errors first, each in document order."""
    found = list(document_findings(document))
    for index, rule in enumerate(document.commands):
        where = f"commands[{index}].grant"
        for one in rule.privileges():
            found += _privilege_findings(document, rule, one, where)
        found += _effect_findings(rule, index)
    found += _overlaps(document)
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error")


def _privilege_findings(
    document: PostgresCommandSet, rule: PostgresRule, one: Privilege, where: str
) -> Iterator[Finding]:
    values = [_values(document, rule, name) for name in one.names]
    if one.kind == "role":
        yield from _role_findings(values[0], one, where)
        return
    if _SYSTEM.intersection(values[0] or ()) and one.kind != "database":
        yield Finding(
            "error",
            "system",
            where,
            "system schemas contain functions that read files and end other sessions, and objects that "
            "all users rely on",
            "remove it: all users already have the harmless privileges there",
        )
    if SCHEDULERS.intersection(values[0] or ()) and one.kind != "database":
        yield Finding(
            "error",
            "scheduler",
            where,
            "scheduled jobs run after the grant ends, and users of the schema can add jobs",
            "remove it: put the task into a function in another schema, owned by the owner of this one, "
            "and grant EXECUTE on it",
        )
    for name, known in zip(one.names, values, strict=True):
        if known is None and isinstance(name, Slot):
            yield from _open_name(document.type_of(rule, name.name), name.name, one, where)
    yield from _look_alikes(one, where)
    yield from _secrets(one, where)


def _values(document: PostgresCommandSet, rule: PostgresRule, name: str | Slot) -> tuple[str, ...] | None:
    """Return the values that a name can have; None if they are not listed."""
    if isinstance(name, str):
        return (name,)
    type_ = document.type_of(rule, name.name)
    return type_.choices if isinstance(type_, Choice) else None


def _role_findings(values: tuple[str, ...] | None, one: Privilege, where: str) -> Iterator[Finding]:
    for role in values or ():
        if fault := role_fault(role):
            yield Finding(
                "error",
                "role",
                where,
                f"`{role}` {fault}, so no other limit would apply to its holder",
                "create a template role with the needed privileges, and name that",
            )
        elif role in WIDE:
            yield Finding(
                "warning",
                "wide_role",
                where,
                f"`{role}` reads every table of every database, including future tables",
                "grant SELECT on the tables that are needed, or create a template role for them",
            )
    if values is None:
        yield Finding(
            "error",
            "free_role",
            where,
            f"{one} lets the requester choose any role of the server",
            "write the role, or a choice of roles",
        )


def _open_name(type_: ParameterType, name: str, one: Privilege, where: str) -> Iterator[Finding]:
    if one.names[0] == Slot(name) and one.kind != "database":
        yield Finding(
            "error",
            "free_schema",
            where,
            f"{{{name}}} lets the requester choose any schema, including system schemas",
            "write the schema, or a choice of schemas",
        )
    elif type_.kind in _LOOSE:
        yield Finding(
            "warning",
            "free_name",
            where,
            f"{{{name}}} is {type_.limits}: a grant could name objects that are created later",
            "use a choice, or accept it and state why any of them may be named",
        )


def _look_alikes(one: Privilege, where: str) -> Iterator[Finding]:
    if not str(one).isascii():
        yield Finding(
            "warning",
            "look_alike",
            where,
            "the names contain letters that look like other letters",
            "check that each letter is the one you mean",
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


def _effect_findings(rule: PostgresRule, index: int) -> Iterator[Finding]:
    where = f"commands[{index}].effect"
    given = {one.privilege for one in rule.privileges()}
    if rule.effect == "read" and given & _WRITES:
        words = ", ".join(sorted(given & _WRITES))
        yield _effect("error", where, f"{words} changes data, but its effect is `read`", "change")
    elif rule.effect != "destructive" and "TRUNCATE" in given:
        yield _effect(
            "error", where, "TRUNCATE empties the table at once and bypasses its row triggers", "destructive"
        )
    elif rule.effect != "destructive" and "DELETE" in given:
        yield _effect("warning", where, "DELETE without a condition empties the table", "destructive")
    elif rule.effect == "read" and "EXECUTE" in given:
        yield _effect(
            "warning", where, "a function can change data, possibly with its owner's privileges", "change"
        )


def _effect(severity: Severity, where: str, message: str, effect: Effect) -> Finding:
    return Finding(severity, "effect", where, message, f"set effect: {effect}")


def _overlaps(document: PostgresCommandSet) -> Iterator[Finding]:
    seen: dict[Privilege, int] = {}
    every: Mapping[int, tuple[Privilege, ...]] = {
        index: rule.privileges() for index, rule in enumerate(document.commands)
    }
    for index, privileges in every.items():
        for one in privileges:
            whole = Privilege("table", one.privilege, one.names[:2]) if one.kind == "column" else one
            first = seen.setdefault(one, index)
            first = min(first, seen.get(whole, first))
            if first != index:
                yield Finding(
                    "warning",
                    "overlap",
                    f"commands[{index}].grant",
                    f"`{one}` is also in commands[{first}]: the stricter one decides",
                    "remove one of them",
                )
