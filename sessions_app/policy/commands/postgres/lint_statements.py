"""The linter for statements. It finds unexpected effects of a rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import Effect
from sessions_app.policy.commands.findings import Finding, Severity
from sessions_app.policy.commands.parameters import MAX_VALUE, Choice, Int, Pattern
from sessions_app.policy.commands.patterns import compile_pattern
from sessions_app.policy.commands.postgres.covers import may_meet
from sessions_app.policy.commands.postgres.document import PostgresCommandSet
from sessions_app.policy.commands.postgres.roles import SCHEDULERS, SYSTEM_SCHEMAS
from sessions_app.policy.commands.postgres.sql.compiled import CompiledStatement, Place
from sessions_app.policy.commands.postgres.sql.expressions import Table
from sessions_app.policy.commands.postgres.sql.forms import SAFE_FUNCTIONS
from sessions_app.policy.commands.postgres.sql.types import keeps
from sessions_app.policy.commands.postgres.statement_set import compile_open_statements
from sessions_app.policy.commands.privileges.lint import name_findings
from sessions_app.policy.commands.within import accepts

_ANYTHING = ("a", "a b", "A-1", "é", "a/b", "a=b", "a,b", "1")
_LONG = "a" * MAX_VALUE
_WILDCARDS = ("%", "a%", "a_b", "%a%")
# Functions of pg_catalog whose results depend only on their arguments, in addition to the safe functions.
_STEADY = SAFE_FUNCTIONS | frozenset(
    (
        "concat",
        "concat_ws",
        "initcap",
        "lpad",
        "md5",
        "mod",
        "position",
        "power",
        "replace",
        "reverse",
        "rpad",
        "sign",
        "split_part",
        "sqrt",
        "starts_with",
        "strpos",
        "substring",
        "to_date",
        "to_number",
        "to_timestamp",
        "trunc",
    )
)
_VOLATILE = frozenset(
    (
        "clock_timestamp",
        "currval",
        "gen_random_uuid",
        "lastval",
        "random",
        "random_normal",
        "statement_timestamp",
        "timeofday",
        "txid_current",
        "uuidv4",
        "uuidv7",
    )
)
_ACTS = ("pg_", "lo_", "dblink", "query_to_", "table_to_", "cursor_to_", "schema_to_", "database_to_")
_ACTING = frozenset(("currtid2", "nextval", "repeat", "set_config", "setval", "generate_series"))
_TEXTS = ("text", "varchar", "json", "jsonb")
_INTEGERS = ("smallint", "integer", "bigint", "numeric")


def statement_findings(document: PostgresCommandSet) -> Iterator[Finding]:
    """Find unexpected effects of the statements of a set."""
    compiled = compile_open_statements(document)
    for one in compiled.commands:
        yield from _rows(one)
        yield from _names(document, one)
        yield from _functions(one)
        yield from _places(one)
        yield from _effects(one)
        yield from _holds(one)
    yield from _overlaps(compiled.commands)


def _found(
    one: CompiledStatement, code: str, message: str, fix: str, severity: Severity = "warning", field: str = ""
) -> Finding:
    return Finding(severity, code, f"commands[{one.index}].{field or one.rule.WRITTEN}", message, fix)


def _rows(one: CompiledStatement) -> Iterator[Finding]:
    if one.limits:
        if not one.limits.where_required and one.limits.limit is None:
            yield _found(
                one, "no_where", "the holder can read every row", "set `where: required`, `limit`, or both"
            )
        return
    statement = one.statement
    if statement is None or statement.verb in ("INSERT", "CALL") or not statement.tables:
        return
    if not statement.has_where and not statement.one_row:
        writes = statement.verb != "SELECT"
        yield _found(
            one,
            "no_where",
            f"the {statement.verb} has no WHERE, so it covers every row",
            "add a WHERE with a parameter",
            "error" if writes else "warning",
        )
    elif statement.has_where and not statement.narrowed:
        yield _found(
            one,
            "no_where",
            "the WHERE limits no column to a value or range, so it can match every row",
            "compare a column with a parameter or a constant",
        )


def _names(document: PostgresCommandSet, one: CompiledStatement) -> Iterator[Finding]:
    where = f"commands[{one.index}].{one.rule.WRITTEN}"
    if one.statement and one.statement.starred:
        yield _found(
            one,
            "every_column",
            "* also returns columns that are added later",
            "list the columns",
        )
    for schema in dict.fromkeys(table.schema for table in _tables(one)):
        if schema in SYSTEM_SCHEMAS:
            yield _found(
                one,
                "system",
                "system schemas contain functions that read files and end other sessions, and objects that "
                "all users rely on",
                "remove it",
                "error",
            )
        if schema in SCHEDULERS:
            yield _found(
                one,
                "scheduler",
                "scheduled jobs run after the grant ends, and users of the schema can add jobs",
                "put the task into a function in another schema, and use `call`",
                "error",
            )
    for privilege in one.privileges:
        yield from name_findings(document, one.rule, privilege, where)


def _tables(one: CompiledStatement) -> tuple[Table, ...]:
    if one.limits:
        return tuple(one.limits.tables)
    statement = one.statement
    if statement is None:
        return ()
    return (*statement.tables, statement.routine) if statement.routine else statement.tables


def _functions(one: CompiledStatement) -> Iterator[Finding]:
    for name in one.statement.functions if one.statement else ():
        if name in _ACTING or name.startswith(_ACTS):
            yield _found(
                one,
                "volatile",
                f"the function {clip(name)} acts on the server, on sequences or on settings",
                "remove it, or put the task into a function of your own and use `call`",
                "error",
            )
        elif name in _VOLATILE:
            yield _found(
                one,
                "volatile",
                f"{clip(name)} returns a different value at each call, so the line does not show it",
                "use a column's default instead, or accept the finding with a reason",
            )
        elif name not in _STEADY:
            yield _found(
                one,
                "unknown_function",
                f"the linter does not know what the function {clip(name)} does",
                "check that it only computes a value, and state that as the reason when you accept the "
                "finding",
            )


def _places(one: CompiledStatement) -> Iterator[Finding]:
    statement = one.statement
    if statement is None:
        return
    texts = [piece for piece in statement.shape if piece is not None]
    for place, before, after in zip(one.places, texts, texts[1:], strict=False):
        if isinstance(place, Place):
            yield from _place_findings(one, place, before, after)


def _place_findings(one: CompiledStatement, place: Place, before: str, after: str) -> Iterator[Finding]:
    name, type_ = f"{{{place.name}}}", place.type
    if isinstance(type_, Pattern) and _takes(type_, *_ANYTHING):
        yield _found(
            one,
            "broad_pattern",
            f"the pattern of {name} matches anything",
            "allow only the expected characters, like T-[0-9]{1,8}, or use choice, int or name",
            "error",
        )
    if isinstance(type_, Pattern) and _takes(type_, _LONG):
        yield _found(
            one,
            "free_text",
            f"the length of {name} is not limited",
            'limit the length and the characters: {pattern: "[ -~]{1,500}"}, or list the values',
        )
    if before.endswith(("LIKE ", "like ")) and any(accepts(type_, text) for text in _WILDCARDS):
        yield _found(
            one,
            "wildcard_value",
            f"{name} can contain % and _, which are wildcards in LIKE",
            "exclude both characters from its pattern, or compare with =",
        )
    if after.startswith("::") or not _cast_keeps(place):
        yield _found(
            one,
            "cast",
            f"the cast of {name} can change the value, so the line does not show the value used",
            "remove the cast, or use a type whose values the cast keeps",
        )


def _takes(type_: Pattern, *probes: str) -> bool:
    compiled = compile_pattern(type_.pattern)
    return all(compiled.fullmatch(probe) for probe in probes)


def _cast_keeps(place: Place) -> bool:
    """Whether the rule's cast leaves every value as it is written. Returns False if in doubt."""
    type_, cast = place.type, place.cast
    if not cast or cast in _TEXTS:
        return True
    if isinstance(type_, Choice):
        return "." in cast or all(keeps(cast, text) for text in type_.choices)
    return isinstance(type_, Int) and cast in _INTEGERS


def _effects(one: CompiledStatement) -> Iterator[Finding]:
    verb, effect = one.verb, one.rule.effect
    if verb in ("INSERT", "UPDATE", "DELETE") and effect == "read":
        yield _effect(one, f"{verb} changes data, but the effect is `read`", "change", "error")
    elif verb == "DELETE" and effect != "destructive":
        yield _effect(one, "DELETE permanently removes rows", "destructive", "warning")
    elif verb == "CALL" and effect == "read":
        yield _effect(
            one, "a routine can change data, possibly with its owner's privileges", "change", "warning"
        )


def _effect(one: CompiledStatement, message: str, effect: Effect, severity: Severity) -> Finding:
    return _found(one, "effect", message, f"set effect: {effect}", severity, field="effect")


def _holds(one: CompiledStatement) -> Iterator[Finding]:
    if one.verb == "CALL" and one.rule.held:
        yield _found(
            one,
            "held_call",
            "an approver sees the call before it runs, but not the rows that it changes",
            "write its statements as `sql`, which wait at COMMIT, or accept the finding with a reason",
            field="hold",
        )


def _overlaps(commands: tuple[CompiledStatement, ...]) -> Iterator[Finding]:
    for one, other in combinations(commands, 2):
        if may_meet(one, other):
            yield _found(
                other,
                "overlap",
                f"a statement can match both this and commands[{one.index}]: the stricter one applies",
                "remove one of them, or narrow its values so that nothing matches both",
            )
