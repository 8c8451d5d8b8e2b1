"""The privileges of a command set in SQL: the statement that grants each one, and the expression that checks
it on the server.

Names are inserted as identifiers and literals. Objects are looked up by name in the system catalog.
`to_regclass` and similar functions are not used, because they fail if the broker's role can't use a schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from psycopg import sql

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.connection import Server
from sessions_app.policy.commands.postgres.privileges import ArgumentType, ObjectKind, Privilege

CHUNK = 100

_RELATION = sql.SQL(
    "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {0} AND"
    " c.relname = {1}"
)
_TYPE = sql.SQL(
    "(SELECT CASE WHEN {2} THEN t.typarray ELSE t.oid END FROM pg_type t JOIN pg_namespace n ON n.oid ="
    " t.typnamespace WHERE n.nspname = {0} AND t.typname = {1})"
)
_ROUTINE = sql.SQL(
    "SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = {0} AND"
    " p.proname = {1} AND p.proargtypes::text = array_to_string(ARRAY[{2}]::oid[], ' ')"
)
_WORDS: Mapping[ObjectKind, str] = {"sequence": "SEQUENCE", "schema": "SCHEMA", "database": "DATABASE"}


def has(role: str, one: Privilege) -> sql.Composed:
    """Return an expression that is true if the role has the privilege in any way; NULL if the object does not
    exist.
    """
    return _QUESTIONS[one.kind](sql.Literal(role), one, [sql.Literal(name) for name in one.plain_names])


def _table(role: sql.Literal, one: Privilege, names: Sequence[sql.Literal]) -> sql.Composed:
    return sql.SQL("has_table_privilege({}, ({}), {})").format(
        role, _RELATION.format(*names), sql.Literal(one.privilege)
    )


def _column(role: sql.Literal, one: Privilege, names: Sequence[sql.Literal]) -> sql.Composed:
    relation = _RELATION.format(*names[:2])
    column = sql.SQL(
        "SELECT attnum FROM pg_attribute WHERE attrelid = ({}) AND attname = {} AND NOT attisdropped AND"
        " attnum > 0"
    ).format(relation, names[2])
    return sql.SQL("has_column_privilege({}, ({}), ({}), {})").format(
        role, relation, column, sql.Literal(one.privilege)
    )


def _sequence(role: sql.Literal, one: Privilege, names: Sequence[sql.Literal]) -> sql.Composed:
    relation = sql.SQL("{} AND c.relkind = 'S'").format(_RELATION.format(*names))
    return sql.SQL("has_sequence_privilege({}, ({}), {})").format(role, relation, sql.Literal(one.privilege))


def _function(role: sql.Literal, one: Privilege, names: Sequence[sql.Literal]) -> sql.Composed:
    types = sql.SQL(", ").join(map(_type_oid, one.arguments))
    return sql.SQL("has_function_privilege({}, ({}), 'EXECUTE')").format(role, _ROUTINE.format(*names, types))


def _type_oid(of: ArgumentType) -> sql.Composed:
    return _TYPE.format(sql.Literal(of.schema), sql.Literal(of.name), sql.Literal(of.array))


def _schema(role: sql.Literal, one: Privilege, names: Sequence[sql.Literal]) -> sql.Composed:
    schema = sql.SQL("SELECT oid FROM pg_namespace WHERE nspname = {}").format(*names)
    return sql.SQL("has_schema_privilege({}, ({}), {})").format(role, schema, sql.Literal(one.privilege))


def _database(role: sql.Literal, one: Privilege, names: Sequence[sql.Literal]) -> sql.Composed:
    database = sql.SQL("SELECT oid FROM pg_database WHERE datname = {}").format(*names)
    return sql.SQL("has_database_privilege({}, ({}), {})").format(role, database, sql.Literal(one.privilege))


def _role(role: sql.Literal, one: Privilege, names: Sequence[sql.Literal]) -> sql.Composed:
    del one
    template = sql.SQL("SELECT oid FROM pg_roles WHERE rolname = {}").format(*names)
    return sql.SQL("pg_has_role({}, ({}), 'USAGE')").format(role, template)


_QUESTIONS: Mapping[ObjectKind, Callable[[sql.Literal, Privilege, Sequence[sql.Literal]], sql.Composed]] = {
    "table": _table,
    "column": _column,
    "sequence": _sequence,
    "function": _function,
    "schema": _schema,
    "database": _database,
    "role": _role,
}


def held(server: Server, role: str, wanted: Sequence[Privilege]) -> list[bool | None]:
    """Return for each privilege whether the role has it in this database; None if the object does not
    exist.
    """
    answers: list[bool | None] = []
    for start in range(0, len(wanted), CHUNK):
        asked = [
            sql.SQL("SELECT {}, {}").format(sql.Literal(number), has(role, one))
            for number, one in enumerate(wanted[start : start + CHUNK])
        ]
        answers += [row[1] for row in sorted(server.rows(sql.SQL(" UNION ALL ").join(asked)))]
    return answers


def grant(role: str, one: Privilege) -> sql.Composed:
    """Return the statement that grants the privilege to a role. A membership has no privileges to grant."""
    return sql.SQL("GRANT {} ON {} TO {}").format(_wanted(one), _object(one), sql.Identifier(role))


def grant_option(role: str, one: Privilege) -> str:
    """Return the statement for an administrator that lets the broker grant the privilege."""
    if one.kind == "role":
        template = sql.Identifier(*one.plain_names)
        return sql.SQL("GRANT {} TO {} WITH ADMIN OPTION;").format(template, sql.Identifier(role)).as_string()
    return f"{grant(role, one).as_string()} WITH GRANT OPTION;"


def _wanted(one: Privilege) -> sql.Composed:
    # The keywords come from the policy's own fixed allowlist.
    word = sql.SQL(one.privilege)  # type: ignore[arg-type]
    if one.kind != "column":
        return sql.Composed([word])
    return sql.SQL("{} ({})").format(word, sql.Identifier(one.plain_names[2]))


def _object(one: Privilege) -> sql.Composed:
    if one.kind == "function":
        arguments = sql.SQL(", ").join(
            sql.SQL("{}{}").format(sql.Identifier(of.schema, of.name), sql.SQL("[]" if of.array else ""))
            for of in one.arguments
        )
        return sql.SQL("ROUTINE {}({})").format(sql.Identifier(*one.plain_names), arguments)
    if one.kind in _WORDS:
        return sql.SQL("{} {}").format(sql.SQL(_WORDS[one.kind]), sql.Identifier(*one.plain_names))  # type: ignore[arg-type]
    return sql.SQL("TABLE {}").format(sql.Identifier(*one.plain_names[:2]))


def grant_missing(server: Server, login: str, rights: str, wanted: Sequence[Privilege]) -> None:
    """Grant the login role's missing privileges to its rights role, then check on the server that it has all
    of them.

    Raises a permanent ConnectorError for a missing object, and for a privilege that the broker can't grant.
    """
    before = held(server, login, wanted)
    _refuse_absent(server, [one for one, has_it in zip(wanted, before, strict=True) if has_it is None])
    missing = [one for one, has_it in zip(wanted, before, strict=True) if not has_it]
    # Always in the same order, so that two sessions don't deadlock.
    for one in sorted(missing, key=str):
        _give(server, rights, one)
    after = held(server, login, missing)
    for one, has_it in zip(missing, after, strict=True):
        if not has_it:
            raise _not_ours(server, one)


def _refuse_absent(server: Server, absent: Sequence[Privilege]) -> None:
    if absent:
        named = ", ".join(f"`{one}`" for one in absent[:5])
        raise ConnectorError(
            f"{server.place.target.name}: database {server.connection.info.dbname} does not have the "
            f"objects that {named} names. Create them, or remove them from the command set.",
            permanent=True,
        )


def _give(server: Server, rights: str, one: Privilege) -> None:
    try:
        server.run(grant(rights, one))
    except ConnectorError as error:
        raise (_not_ours(server, one) if error.permanent else error) from None


def _not_ours(server: Server, one: Privilege) -> ConnectorError:
    broker = server.connection.info.user
    return ConnectorError(
        f"{server.place.target.name}: Stint's role can't grant `{one}`. An administrator must run in database"
        f" {server.connection.info.dbname}: {grant_option(broker, one)}",
        permanent=True,
    )
