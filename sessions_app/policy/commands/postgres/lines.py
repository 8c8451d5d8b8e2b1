"""The strict parser for privileges as people write them: `SELECT, UPDATE (status) ON app.orders`.

It parses what PostgreSQL allows between GRANT and TO, with fully qualified names, and `ROLE name` for a
template role. It refuses everything else. In a command set, `{name}` stands for one whole name.
"""

from __future__ import annotations

from collections.abc import Iterable

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.postgres.privileges import (
    PARTS,
    PRIVILEGES,
    TYPE_NAMES,
    WORDS,
    ArgumentType,
    ObjectKind,
    Privilege,
)
from sessions_app.policy.commands.privileges.privilege import Name, Slot
from sessions_app.policy.commands.privileges.reading import LineRefused, Reader, Spelling, distinct

# NAMEDATALEN - 1. PostgreSQL silently truncates longer names.
MAX_NAME_BYTES = 63

_FOLD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")

_REFUSED_WORDS = {
    "GRANT": "remove GRANT and TO: write only what is granted, as in `SELECT ON app.orders`",
    "ALL": "ALL includes privileges that you did not review: list them, as in `SELECT, INSERT ON app.orders`",
    "CREATE": (
        "CREATE lets the holder create objects that outlive the grant, and functions that others run:"
        " remove it"
    ),
    "TRIGGER": (
        "TRIGGER lets the holder run code with the rights of everyone who writes to the table: remove it"
    ),
    "REFERENCES": "REFERENCES lets the holder block changes to the table: remove it",
    "TEMPORARY": "TEMPORARY can't be granted: PUBLIC has it unless it was revoked",
    "TEMP": "TEMP can't be granted: PUBLIC has it unless it was revoked",
    "MAINTAIN": (
        "MAINTAIN lets the holder lock and rewrite the table: put the needed task into a function and"
        " grant EXECUTE"
    ),
    "SET": "SET on a server setting can't be granted",
    "ALTER": "ALTER SYSTEM changes the whole server: remove it",
    "COPY": (
        "COPY with a PROGRAM or a file runs on the server itself: grant SELECT or INSERT, and let the client"
        " copy"
    ),
    "SUPERUSER": "a superuser has no limits: grant only what is needed",
}


def parse_line(line: str) -> tuple[Privilege, ...]:
    """Return the privileges that a line names, without duplicates. Raises LineRefused."""
    return _parse(line, slots=False)


def parse_template(line: str) -> tuple[Privilege, ...]:
    """Like `parse_line`, but `{name}` may stand for a whole name. Raises LineRefused."""
    return _parse(line, slots=True)


def _parse(line: str, *, slots: bool) -> tuple[Privilege, ...]:
    reader = Reader(line, SPELLING, slots=slots)
    return distinct(_memberships(reader) if reader.at("ROLE") else _privileges(reader))


def check_name(text: str) -> None:
    """Raise LineRefused for an invalid PostgreSQL name."""
    if not text:
        raise LineRefused("a name is empty: enter one between the quotes")
    if len(text.encode()) > MAX_NAME_BYTES:
        raise LineRefused(f"{clip(text)} is longer than the {MAX_NAME_BYTES} bytes that a name may have")


def _fold(name: str) -> str:
    """Return a name without quotes as PostgreSQL stores it."""
    return name.translate(_FOLD)


SPELLING = Spelling('"', r"[^\W\d][\w$]*", _fold, check_name)


def _memberships(reader: Reader) -> list[Privilege]:
    reader.need("ROLE", "first")
    roles = reader.names("a role's name")
    reader.end()
    if "public" in roles:
        raise LineRefused("PUBLIC is not a role: use a template role")
    return [Privilege("role", "MEMBER", (role,)) for role in roles]


def _privileges(reader: Reader) -> list[Privilege]:
    wanted = reader.wanted(_REFUSED_WORDS)
    kind, names, arguments = _object(reader)
    reader.end()
    return [one for word, columns in wanted for one in _of(word, columns, kind, names, arguments)]


def _object(reader: Reader) -> tuple[ObjectKind, tuple[Name, ...], tuple[ArgumentType, ...]]:
    kind: ObjectKind = "table"
    if reader.at("ALL"):
        raise LineRefused(
            "ALL … IN SCHEMA leaves out objects that are created later: create a template role and write"
            " `ROLE name`"
        )
    for word, its_kind in WORDS.items():
        if reader.take(word):
            kind = its_kind
            break
    names = [reader.name("the object's name")]
    while reader.take("."):
        names.append(reader.name("a name"))
    _check_parts(kind, names)
    return kind, tuple(names), _arguments(reader) if kind == "function" else ()


def _check_parts(kind: ObjectKind, names: list[Name]) -> None:
    if len(names) == PARTS[kind]:
        return
    if len(names) < PARTS[kind]:
        raise LineRefused(
            f"write the {kind} with its schema, as in `app.orders`: otherwise the search path could select "
            "another object"
        )
    raise LineRefused(
        f"the name of a {kind} has {PARTS[kind]} part{'s' if PARTS[kind] > 1 else ''}, but this one has "
        f"{len(names)}"
    )


def _of(
    word: str,
    columns: tuple[Name, ...],
    kind: ObjectKind,
    names: tuple[Name, ...],
    arguments: tuple[ArgumentType, ...],
) -> Iterable[Privilege]:
    if columns and kind != "table":
        raise LineRefused(f"a {kind} has no columns: remove them")
    fits: ObjectKind = "column" if columns else kind
    if word not in PRIVILEGES[fits]:
        raise LineRefused(
            f"{clip(word)} can't be granted on a {fits} here, only {', '.join(PRIVILEGES[fits])}"
        )
    if columns:
        return [Privilege("column", word, (*names, column)) for column in columns]
    return [Privilege(kind, word, names, arguments)]


def _arguments(reader: Reader) -> tuple[ArgumentType, ...]:
    reader.need(
        "(",
        "after the function's name, because functions can be overloaded: write its argument types",
    )
    found: list[ArgumentType] = []
    if reader.take(")"):
        return ()
    found.append(_argument(reader))
    while reader.take(","):
        found.append(_argument(reader))
    reader.need(")", "after the arguments")
    return tuple(found)


def _argument(reader: Reader) -> ArgumentType:
    is_quoted = reader.peek().kind == "quoted"
    words = [_type_word(reader)]
    if reader.take("."):
        schema, name = words[0], _type_word(reader)
    else:
        while reader.peek().kind == "word":
            words.append(_type_word(reader))
        schema, name = "pg_catalog", _standard(words, is_quoted=is_quoted)
    array = reader.take("[")
    if array:
        reader.need("]", "after `[`")
    return ArgumentType(schema, name, array)


def _type_word(reader: Reader) -> str:
    name = reader.name("an argument's type")
    if isinstance(name, Slot):
        raise LineRefused("a parameter can't be used as a type: write the type")
    return name


def _standard(words: list[str], *, is_quoted: bool) -> str:
    text = " ".join(words)
    if not is_quoted and text in TYPE_NAMES:
        return TYPE_NAMES[text]
    if len(words) > 1:
        raise LineRefused(
            f"{clip(text)} is not a type: write only the types of the arguments, without their names"
        )
    return text
