"""Names of the objects that Stint creates on a server for a grant, and quoting.

The holder logs in as ``stint_<mark>`` from any host. The schema ``stint`` has a table with one row for each
grant, and for each grant an event that ends it.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from sessions_app.connectors.base import MARK

SCHEMA = "stint"
TABLE = f"{SCHEMA}.grants"
_ACCOUNT = re.compile(MARK + r"_([0-9a-f]{32})")
# The same pattern, for REGEXP.
PATTERN = f"^{MARK}_[0-9a-f]{{32}}$"
_MARK = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class GrantNames:
    """The names for one grant."""

    mark: str

    def __post_init__(self) -> None:
        if not _MARK.fullmatch(self.mark):
            raise ValueError("A mark must have 32 hexadecimal digits.")

    @property
    def user(self) -> str:
        """The user name."""
        return f"{MARK}_{self.mark}"

    @property
    def account(self) -> str:
        """The account in SQL."""
        return f"'{self.user}'@'%'"

    @property
    def account_with_values(self) -> str:
        """The account in a statement with placeholders for values, in which % is doubled."""
        return self.account.replace("%", "%%")

    @property
    def event(self) -> str:
        """The event in SQL."""
        return f"{SCHEMA}.`end_{self.mark}`"


def mark_of(user: str) -> str | None:
    """Return the mark in a user name; None for an account that Stint did not create."""
    found = _ACCOUNT.fullmatch(user)
    return found[1] if found else None


def identifier(name: str) -> str:
    """Return a name in backticks."""
    return "`" + name.replace("`", "``") + "`"


def moment_text(moment: dt.datetime) -> str:
    """Format a time for SQL in a session in UTC."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
