"""One privilege on one MariaDB object, and its canonical spelling.

Sources: MariaDB's GRANT, and "Identifier Names".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sessions_app.policy.commands.privileges import privilege
from sessions_app.policy.commands.privileges.privilege import Name, Slot

ObjectKind = Literal["table", "column", "function", "procedure"]

# Privileges that can be granted, by kind of object. Privileges missing here let their holder create
# objects or change what others run.
PRIVILEGES: Mapping[ObjectKind, tuple[str, ...]] = {
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "column": ("SELECT", "INSERT", "UPDATE"),
    "function": ("EXECUTE",),
    "procedure": ("EXECUTE",),
}
# Keywords before the object's name.
WORDS: Mapping[str, ObjectKind] = {"TABLE": "table", "FUNCTION": "function", "PROCEDURE": "procedure"}

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_TAKEN = frozenset((*WORDS, "ON", "TO", "WITH"))


@dataclass(frozen=True, slots=True)
class Privilege(privilege.Privilege):
    """One privilege on one object. ``names`` runs from the database to the column."""

    kind: ObjectKind

    def __str__(self) -> str:
        if self.kind == "column":
            return f"{self.privilege} ({quoted(self.names[2])}) ON {_dotted(self.names[:2])}"
        word = "" if self.kind == "table" else f"{self.kind.upper()} "
        return f"{self.privilege} ON {word}{_dotted(self.names)}"


def quoted(name: Name) -> str:
    """Return a name as written, in backticks if MariaDB would otherwise read it differently."""
    if isinstance(name, Slot):
        return f"{{{name.name}}}"
    if _PLAIN.fullmatch(name) and name.upper() not in _TAKEN:
        return name
    return "`" + name.replace("`", "``") + "`"


def _dotted(names: tuple[Name, ...]) -> str:
    return ".".join(map(quoted, names))
