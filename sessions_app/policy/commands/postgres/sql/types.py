"""The types that values are cast to, and whether a cast leaves a value as it is written.

Sources: PostgreSQL 18, chapter 8 (Data Types); OIDs from `pg_type.dat`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from postgast.pg_query_pb2 import TypeName

from sessions_app.policy.commands.postgres.privileges import ArgumentType
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused
from sessions_app.policy.commands.postgres.sql.pieces import dotted

# Types of pg_catalog, by their names there. Types missing here look up objects or change a value.
KNOWN = frozenset(
    (
        "bool",
        "int2",
        "int4",
        "int8",
        "numeric",
        "float4",
        "float8",
        "text",
        "varchar",
        "date",
        "time",
        "timetz",
        "timestamp",
        "timestamptz",
        "interval",
        "uuid",
        "json",
        "jsonb",
        "inet",
        "cidr",
    )
)
_WITH_LENGTH = frozenset(("numeric", "varchar", "time", "timetz", "timestamp", "timestamptz"))
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_FLOAT = re.compile(r"(?=.{1,16}$)-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_ZONE = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
# The form that a value must have so that a cast to the type does not change it; None for any form.
_UNCHANGED: Mapping[str, re.Pattern[str] | None] = {
    "smallint": _INTEGER,
    "integer": _INTEGER,
    "bigint": _INTEGER,
    "numeric": _DECIMAL,
    "float8": _FLOAT,
    "text": None,
    "varchar": None,
    "json": None,
    "jsonb": None,
    "boolean": re.compile("true|false"),
    "uuid": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "date": re.compile(_DAY),
    "timestamp": re.compile(rf"{_DAY}(?:[ T]{_TIME})?"),
    "timestamptz": re.compile(rf"{_DAY}(?:[ T]{_TIME}{_ZONE}?)?"),
}
# Types that clients declare for parameters. 705 is `unknown`, the type of a quoted constant.
_DECLARED: Mapping[int, str] = {
    0: "",
    705: "",
    16: "boolean",
    20: "bigint",
    21: "smallint",
    23: "integer",
    25: "text",
    114: "json",
    701: "float8",
    1043: "varchar",
    1082: "date",
    1114: "timestamp",
    1184: "timestamptz",
    1700: "numeric",
    2950: "uuid",
    3802: "jsonb",
    1005: "smallint[]",
    1007: "integer[]",
    1009: "text[]",
    1015: "varchar[]",
    1016: "bigint[]",
    1231: "numeric[]",
    2951: "uuid[]",
}


def cast_text(node: TypeName, schema: str) -> str:
    """Return the type of a cast as written; ``schema`` applies to names without a schema.

    Raises SQLRefused.
    """
    names = [one.string.sval for one in node.names]
    if node.setof or node.pct_type or len(names) > 2 or len(node.array_bounds) > 1:
        raise SQLRefused("casts must name a plain type, such as integer or text")
    type_ = _type(names, schema)
    array = "[]" if node.array_bounds else ""
    return f"{type_}{_length(node, names[-1])}{array}"


def _type(names: list[str], schema: str) -> str:
    name = names[-1]
    if (len(names) == 1 or names[0] == "pg_catalog") and name in KNOWN:
        return str(ArgumentType("pg_catalog", name))
    where = names[0] if len(names) == 2 else schema
    if not where or where == "pg_catalog":
        raise SQLRefused(f"a cast to {dotted(names)} is not allowed, only to types such as integer or text")
    return dotted((where, name))


def _length(node: TypeName, name: str) -> str:
    if not node.typmods:
        return ""
    if name not in _WITH_LENGTH or any(
        one.WhichOneof("node") != "a_const" or one.a_const.WhichOneof("val") != "ival" for one in node.typmods
    ):
        raise SQLRefused(f"a cast to {name} can't have a length here")
    return f"({', '.join(str(one.a_const.ival.ival) for one in node.typmods)})"


def declared_type(oid: int) -> str:
    """Return the type that a client declares for a parameter; empty if none. Raises SQLRefused."""
    if oid not in _DECLARED:
        raise SQLRefused(f"parameters of the type with OID {oid} are not allowed: declare none", "value")
    return _DECLARED[oid]


def keeps(cast: str, text: str) -> bool:
    """Whether a cast to this type leaves a value as it is written. Returns False if in doubt."""
    if cast not in _UNCHANGED:
        return not cast
    form = _UNCHANGED[cast]
    return form is None or form.fullmatch(text) is not None
