"""One privilege on one PostgreSQL object, and its canonical spelling.

Sources: PostgreSQL's GRANT, section 5.8 (Privileges) and 4.1.1 (Identifiers).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sessions_app.policy.commands.privileges import privilege
from sessions_app.policy.commands.privileges.privilege import Name, Slot

ObjectKind = Literal["table", "column", "sequence", "function", "schema", "database", "role"]

# Privileges that can be granted, by kind of object. Privileges missing here let their
# holder create objects or change what others run.
PRIVILEGES: Mapping[ObjectKind, tuple[str, ...]] = {
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"),
    "column": ("SELECT", "INSERT", "UPDATE"),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "function": ("EXECUTE",),
    "schema": ("USAGE",),
    "database": ("CONNECT",),
    "role": ("MEMBER",),
}
# Keywords before the object's name, except for tables.
WORDS: Mapping[str, ObjectKind] = {
    "TABLE": "table",
    "SEQUENCE": "sequence",
    "FUNCTION": "function",
    "PROCEDURE": "function",
    "ROUTINE": "function",
    "SCHEMA": "schema",
    "DATABASE": "database",
}
# The number of parts of an object's name.
PARTS: Mapping[ObjectKind, int] = {
    "table": 2,
    "column": 3,
    "sequence": 2,
    "function": 2,
    "schema": 1,
    "database": 1,
    "role": 1,
}

# Names in pg_type for types that the SQL standard names differently.
TYPE_NAMES: Mapping[str, str] = {
    "int": "int4",
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "boolean": "bool",
    "real": "float4",
    "double precision": "float8",
    "decimal": "numeric",
    "character varying": "varchar",
    "character": "bpchar",
    "char": "bpchar",
    "bit varying": "varbit",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time with time zone": "timetz",
    "time without time zone": "time",
}
_WRITTEN = {
    "int4": "integer",
    "int8": "bigint",
    "int2": "smallint",
    "bool": "boolean",
    "float4": "real",
    "bpchar": "character",
}

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_TAKEN = frozenset((*(word.lower() for word in WORDS), "on", "role", "public"))


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """The type of a function argument: its schema, its name in pg_type, and whether it is an array."""

    schema: str
    name: str
    array: bool = False

    def __str__(self) -> str:
        plain = self.schema == "pg_catalog"
        text = _type_text(self.name) if plain else f"{quoted(self.schema)}.{quoted(self.name)}"
        return text + ("[]" if self.array else "")


def _type_text(name: str) -> str:
    written = _WRITTEN.get(name, quoted(name))
    # Only the quoted `char` is the one-byte type of the system catalog.
    return f'"{name}"' if written in TYPE_NAMES and TYPE_NAMES[written] != name else written


@dataclass(frozen=True, slots=True)
class Privilege(privilege.Privilege):
    """One privilege on one object.

    ``names`` runs from schema to column. ``arguments`` are a function's argument types.
    """

    kind: ObjectKind
    arguments: tuple[ArgumentType, ...] = ()

    def __str__(self) -> str:
        return _TEXTS.get(self.kind, _object_text)(self)

    @property
    def included(self) -> Privilege | None:
        """Return USAGE on the object's schema; None if the object is not in a schema."""
        if PARTS[self.kind] < 2:
            return None
        return Privilege("schema", "USAGE", self.names[:1])

    @property
    def same_object(self) -> object:
        """The argument types, because functions can be overloaded."""
        return self.arguments


def quoted(name: Name) -> str:
    """Return a name as written, quoted if PostgreSQL would otherwise read it differently."""
    if isinstance(name, Slot):
        return f"{{{name.name}}}"
    if _PLAIN.fullmatch(name) and name not in _TAKEN:
        return name
    return '"' + name.replace('"', '""') + '"'


def _dotted(names: tuple[Name, ...]) -> str:
    return ".".join(map(quoted, names))


def _object_text(one: Privilege) -> str:
    word = "" if one.kind == "table" else f"{one.kind.upper()} "
    return f"{one.privilege} ON {word}{_dotted(one.names)}"


def _column_text(one: Privilege) -> str:
    return f"{one.privilege} ({quoted(one.names[2])}) ON {_dotted(one.names[:2])}"


def _function_text(one: Privilege) -> str:
    return f"{_object_text(one)}({', '.join(map(str, one.arguments))})"


def _role_text(one: Privilege) -> str:
    return f"ROLE {quoted(one.names[0])}"


_TEXTS: Mapping[str, Callable[[Privilege], str]] = {
    "column": _column_text,
    "function": _function_text,
    "role": _role_text,
}
