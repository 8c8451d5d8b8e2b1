"""What the roles of a grant are called, and what their comment says.

A grant has two roles. The holder logs in as ``stint_<mark>``, which has no privilege of its own. It is a member of the
template roles, and of ``stint_<mark>_may``, a role without login that has the privileges which the command set names one
by one. So one REVOKE of a membership takes privileges away in all databases at once, those included that cannot be reached.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sessions_app.connectors.base import MARK

_ROLE = re.compile(MARK + r"_([0-9a-f]{32})(?:_may)?")
# The same as a regular expression of PostgreSQL.
PATTERN = f"^{MARK}_[0-9a-f]{{32}}(_may)?$"


@dataclass(frozen=True, slots=True)
class RoleNames:
    """The names of a grant's roles: the one to log in with, and the one that holds privileges."""

    login: str
    rights: str

    @property
    def both(self) -> list[str]:
        """The names in the order in which PostgreSQL is asked."""
        return [self.login, self.rights]


def role_names(mark: str) -> RoleNames:
    """The names that derive from a grant's mark."""
    return RoleNames(f"{MARK}_{mark}", f"{MARK}_{mark}_may")


def mark_of(role: str) -> str | None:
    """The mark in a role's name; None for a role that is none of Stint's."""
    found = _ROLE.fullmatch(role)
    return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """What COMMENT ON ROLE says of a grant's role: which grant it is of, and how it was made. ``acls`` counts the objects
    that name the role with the privileges; ``slots`` are replication slots that its sessions held at the end.
    """

    grant: str
    mark: str
    until: str
    connections: int
    roles: tuple[str, ...]
    acls: int
    slots: tuple[str, ...] = ()

    def text(self) -> str:
        """The comment as it stands on the role."""
        return json.dumps({"stint": 1, **asdict(self)}, sort_keys=True)


def read_comment(text: str | None) -> Comment | None:
    """The comment on a role; None for one that Stint did not write."""
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
    """A moment as VALID UNTIL and the comment have it: UTC, to the microsecond."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds")
