"""The strict parser for privileges as people write them: `SELECT, UPDATE (status) ON shop.orders`.

The parser accepts what MariaDB allows between GRANT and TO for one table or routine, with its database, and
refuses everything else. In a command set, `{name}` takes the place of one whole name.

Names of databases and tables are compared exactly, and names of columns and routines in lowercase, as MariaDB
does.
"""

from __future__ import annotations

from collections.abc import Iterator

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.mariadb.privileges import PRIVILEGES, WORDS, ObjectKind, Privilege
from sessions_app.policy.commands.privileges.privilege import Name
from sessions_app.policy.commands.privileges.privilege import Privilege as AnyPrivilege
from sessions_app.policy.commands.privileges.reading import LineRefused, Reader, Spelling, distinct

# The maximum length of a name, in characters.
MAX_NAME = 64
# Schemas of the server itself, and the one with Stint's own table and events.
SYSTEM = frozenset(("mysql", "sys", "information_schema", "performance_schema", "stint"))

_REFUSED_WORDS = {
    "GRANT": "remove GRANT and TO: write only what is granted, as in `SELECT ON shop.orders`",
    "ALL": (
        "ALL includes privileges that you did not review: list them, as in `SELECT, INSERT ON shop.orders`"
    ),
    "CREATE": "CREATE lets the holder create objects that outlive the grant: remove it",
    "ALTER": "ALTER lets the holder change the table for everyone: remove it",
    "DROP": "DROP lets the holder delete or empty the whole table: remove it",
    "INDEX": "INDEX lets the holder change the table for everyone: remove it",
    "TRIGGER": "TRIGGER lets the holder run code when others write to the table: remove it",
    "REFERENCES": "REFERENCES lets the holder block changes to the table: remove it",
    "EVENT": "EVENT lets the holder schedule code that runs after the grant: remove it",
    "LOCK": "LOCK TABLES lets the holder block everyone else: remove it",
    "SHOW": "SHOW VIEW is not needed to read a view: grant SELECT on the view",
    "FILE": "FILE lets the holder read and write files of the server: remove it",
    "SUPER": "SUPER lets the holder do almost anything: grant only what is needed",
    "PROXY": "PROXY lets the holder act as another account: remove it",
    "ROLE": "roles are not supported: list the privileges that are needed",
    "USAGE": "USAGE grants nothing: write the privileges that are needed",
}


def parse_line(line: str) -> tuple[Privilege, ...]:
    """Return the privileges that a line names, without duplicates. Raises LineRefused."""
    return distinct(list(_privileges(Reader(line, SPELLING, slots=False))))


def parse_template(line: str) -> tuple[Privilege, ...]:
    """Parse like `parse_line`, but `{name}` can take the place of a whole name. Raises LineRefused."""
    return distinct(list(_privileges(Reader(line, SPELLING, slots=True))))


def check_name(text: str) -> None:
    """Raise LineRefused for an invalid name of a MariaDB object."""
    if not text:
        raise LineRefused("a name is empty: write one between the backticks")
    if len(text) > MAX_NAME:
        raise LineRefused(f"{clip(text)} is longer than the {MAX_NAME} characters that a name may have")
    if text.endswith(" ") or any(char > "\uffff" or char in "/\\." for char in text):
        raise LineRefused(
            f"{clip(text)} contains characters that MariaDB does not accept in every name: rename the object"
        )


def system_fault(one: AnyPrivilege) -> str | None:
    """Return, as a clause, why no grant may include a privilege with complete names; None if grants may."""
    if one.plain_names[0].lower() in SYSTEM:
        return "is a system schema"
    return None


SPELLING = Spelling("`", r"[A-Za-z_$][A-Za-z0-9_$]*", str, check_name)


def _privileges(reader: Reader) -> Iterator[Privilege]:
    wanted = reader.wanted(_REFUSED_WORDS)
    kind, names = _object(reader)
    reader.end()
    for word, columns in wanted:
        yield from _of(word, columns, kind, names)


def _object(reader: Reader) -> tuple[ObjectKind, tuple[Name, ...]]:
    kind: ObjectKind = "table"
    for word, its_kind in WORDS.items():
        if reader.take(word):
            kind = its_kind
            break
    database = reader.name(f"the {kind}'s database")
    if not reader.take("."):
        raise LineRefused(
            f"write the {kind} with its database, as in `shop.orders`: otherwise it could be in any database"
        )
    name = reader.name(f"the {kind}'s name")
    return kind, (database, name if kind == "table" else _lower(name))


def _of(
    word: str, columns: tuple[Name, ...], kind: ObjectKind, names: tuple[Name, ...]
) -> Iterator[Privilege]:
    if columns and kind != "table":
        raise LineRefused(f"a {kind} has no columns: remove them")
    fits: ObjectKind = "column" if columns else kind
    if word not in PRIVILEGES[fits]:
        raise LineRefused(
            f"{clip(word)} can't be granted on a {fits} here, only {', '.join(PRIVILEGES[fits])}"
        )
    if columns:
        for column in columns:
            yield Privilege("column", word, (*names, _lower(column)))
    else:
        yield Privilege(kind, word, names)


def _lower(name: Name) -> Name:
    return name.lower() if isinstance(name, str) else name
