"""Facts from a server's system catalog about the roles of grants. Read-only.

Sources: PostgreSQL's pg_roles, pg_auth_members, pg_shdepend, pg_stat_activity, pg_prepared_xacts. Everyone
can read these. All but the last two are shared by the server's databases, so one connection covers all of
them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from sessions_app.connectors.base import Json, Observed
from sessions_app.connectors.postgres.connection import Server
from sessions_app.connectors.postgres.names import (
    PATTERN,
    Comment,
    RoleNames,
    mark_of,
    read_comment,
    role_names,
)

# Membership options are read through JSON, because PostgreSQL 15 has no columns for them.
_ROLES: LiteralString = """
SELECT r.oid::bigint, r.rolname, r.rolcanlogin,
       r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
           OR NOT r.rolinherit,
       extract(epoch FROM r.rolvaliduntil)::float8, r.rolconnlimit, shobj_description(r.oid, 'pg_authid'),
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
             WHERE m.member = r.oid ORDER BY 1),
       EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid AND (m.admin_option
               OR (to_jsonb(m) ->> 'set_option')::bool
               OR NOT coalesce((to_jsonb(m) ->> 'inherit_option')::bool, true))),
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.member
             WHERE m.roleid = r.oid AND g.rolname <> current_user ORDER BY 1),
       (SELECT count(*) FROM pg_shdepend d
        WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND d.deptype = 'a')
FROM pg_roles r WHERE r.rolname ~ %s AND (%s::text[] IS NULL OR r.rolname = ANY (%s)) ORDER BY r.rolname
"""

_LEFT: LiteralString = """
SELECT (SELECT count(*) FROM pg_roles WHERE rolname = ANY (%(names)s)),
       (SELECT count(*) FROM pg_stat_activity WHERE usesysid = ANY (%(oids)s)),
       (SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
           AND refobjid = ANY (%(oids)s)),
       (SELECT count(*) FROM pg_auth_members
        WHERE roleid = ANY (%(oids)s) OR member = ANY (%(oids)s) OR grantor = ANY (%(oids)s)),
       (SELECT count(*) FROM pg_prepared_xacts WHERE owner = ANY (%(names)s))
"""
_LEFT_NAMES = ("roles", "backends", "owned_or_granted", "memberships", "prepared_transactions")


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """One role of a grant in the system catalog.

    ``until`` is in seconds since 1970. ``loose`` means that one of the role's memberships can be granted
    to others or used with SET ROLE, or is not inherited.
    """

    oid: int
    name: str
    can_login: bool
    extra_attributes: bool
    until: float | None
    connections: int
    comment: Comment | None
    roles: tuple[str, ...]
    loose: bool
    members: tuple[str, ...]
    acls: int


def grant_roles(server: Server, names: Sequence[str] | None = None) -> dict[str, RoleFacts]:
    """Return the roles that are named like grant roles, by name; only those in ``names``, if given."""
    wanted = None if names is None else list(names)
    return {row[1]: _facts(row) for row in server.rows(_ROLES, (PATTERN, wanted, wanted))}


def _facts(row: tuple[Any, ...]) -> RoleFacts:
    oid, name, login, extra, until, limit, comment, roles, loose, members, acls = row
    return RoleFacts(
        oid,
        name,
        login,
        extra,
        until,
        limit,
        read_comment(comment),
        tuple(roles),
        loose,
        tuple(members),
        acls,
    )


def left_of(server: Server, names: RoleNames, oids: Sequence[int]) -> dict[str, Json]:
    """Count what remains of a grant's roles, by kind. ``oids`` identify roles that were already dropped."""
    row = server.row_by_names(_LEFT, {"names": names.both, "oids": list(oids)})
    return dict(zip(_LEFT_NAMES, row, strict=True))


def faults(names: RoleNames, found: Mapping[str, RoleFacts]) -> list[str]:
    """Return the differences between the roles and what the comment describes; empty if there are none."""
    login, rights = found.get(names.login), found.get(names.rights)
    if login is None or rights is None:
        return [f"the role {names.login if login is None else names.rights} is missing"]
    if login.comment is None:
        return [f"the role {names.login} does not have the comment that Stint set"]
    return [
        *_login_faults(names, login, login.comment),
        *_rights_faults(rights, names, login.comment),
    ]


def _login_faults(names: RoleNames, login: RoleFacts, said: Comment) -> list[str]:
    until = dt.datetime.fromisoformat(said.until).timestamp()
    wanted = {names.rights, *said.roles}
    extra, missing = sorted(set(login.roles) - wanted), sorted(wanted - set(login.roles))
    tests = (
        (not login.can_login, "the login role can't log in"),
        (login.extra_attributes, "the login role has attributes that Stint does not set"),
        (login.until is None or abs(login.until - until) > 0.001, f"VALID UNTIL is not {said.until}"),
        (login.connections != said.connections, f"the connection limit is not {said.connections}"),
        (bool(extra), f"the login role is a member of {', '.join(extra)}"),
        (bool(missing), f"the login role is not a member of {', '.join(missing)}"),
        (login.loose, "a membership can be granted to others or used with SET ROLE"),
        (bool(login.members), f"the login role has the members {', '.join(login.members)}"),
        (login.acls > 0, "the login role has privileges of its own"),
    )
    return [what for wrong, what in tests if wrong]


def _rights_faults(rights: RoleFacts, names: RoleNames, said: Comment) -> list[str]:
    others = [member for member in rights.members if member != names.login]
    tests = (
        (
            rights.can_login or rights.extra_attributes,
            f"{rights.name} has attributes that Stint does not set",
        ),
        (bool(rights.roles), f"{rights.name} is a member of {', '.join(rights.roles)}"),
        (bool(others), f"{rights.name} also has the members {', '.join(others)}"),
        (rights.acls != said.acls, f"{rights.name} has privileges on {rights.acls} objects, not {said.acls}"),
    )
    return [what for wrong, what in tests if wrong]


def observed(found: Mapping[str, RoleFacts], unfit: Mapping[str, str]) -> list[Observed]:
    """Return every grant that has a role on the server.

    ``unfit`` maps template roles to the reason why no grant may have them.
    """
    marks = dict.fromkeys(mark for name in found if (mark := mark_of(name)))
    return [_observed(mark, found, unfit) for mark in marks]


def _observed(mark: str, found: Mapping[str, RoleFacts], unfit: Mapping[str, str]) -> Observed:
    names = role_names(mark)
    comment = next(
        (found[name].comment for name in names.both if name in found and found[name].comment), None
    )
    templates = comment.roles if comment else ()
    wrong = [*faults(names, found), *(unfit[role] for role in templates if role in unfit)]
    grant = comment.grant if comment else ""
    detail = f"role {names.login}" + (f": {'; '.join(wrong)}" if wrong else "")
    return Observed(mark=mark, grant_ref=grant, intact=not wrong, detail=detail)
