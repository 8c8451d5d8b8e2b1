"""The names of a grant's roles, and the comment on them.

A grant has two roles. The holder logs in as ``stint_<mark>``, which has no privileges of its own. That role
is a member of the template roles, and of ``stint_<mark>_may``. The latter can't log in, and has the
individual privileges of the command set. So revoking one membership removes these privileges in all
databases at the same time, including databases that can't be reached.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sessions_app.connectors.base import MARK

_ROLE = re.compile(MARK + r"_([0-9a-f]{32})(?:_may)?")
# The same pattern, as a PostgreSQL regular expression.
PATTERN = f"^{MARK}_[0-9a-f]{{32}}(_may)?$"


@dataclass(frozen=True, slots=True)
class RoleNames:
    """The names of a grant's roles: the login role, and the role with the privileges."""

    login: str
    rights: str

    @property
    def both(self) -> list[str]:
        """Both names, the login role first."""
        return [self.login, self.rights]


def role_names(mark: str) -> RoleNames:
    """Return the role names that derive from a grant mark."""
    return RoleNames(f"{MARK}_{mark}", f"{MARK}_{mark}_may")


def mark_of(role: str) -> str | None:
    """Return the mark in a role's name; None for a role that Stint did not create."""
    found = _ROLE.fullmatch(role)
    return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """The COMMENT ON ROLE of a grant's role, which names the grant and how the role was created.

    ``acls`` counts the objects whose privileges name the privilege role. ``slots`` lists replication slots
    that the role's sessions held at the end.
    """

    grant: str
    mark: str
    until: str
    connections: int
    roles: tuple[str, ...]
    acls: int
    slots: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the comment in its stored form."""
        return json.dumps({"stint": 1, **asdict(self)}, sort_keys=True)


def read_comment(text: str | None) -> Comment | None:
    """Parse the comment on a role. Return None for a comment that Stint did not write."""
    try:
        said = json.loads(text or "null")
        if not isinstance(said, Mapping) or said.get("stint") != 1:
            return None
        fields = {name: said[name] for name in ("grant", "mark", "until", "connections", "acls")}
        comment = Comment(**fields, roles=tuple(said["roles"]), slots=tuple(said.get("slots", ())))
        dt.datetime.fromisoformat(comment.until)
    except (ValueError, TypeError, KeyError):
        return None
    return comment


def until_text(moment: dt.datetime) -> str:
    """Format a moment for VALID UNTIL and the comment: UTC, to the microsecond."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds")
