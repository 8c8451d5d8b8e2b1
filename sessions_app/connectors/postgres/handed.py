"""Find privileges that could have been passed on, by comparing the states before a grant and after its end.

When a grant starts, its template roles can pass nothing on (see `reach`), but they may gain a privilege
later. Some actions also require no ownership: a trigger on a table, or objects created in a template's name
up to PostgreSQL 15. So everything that the roles could have created is compared: what they own, granted, and
set as default privileges, memberships that they granted, their settings, and prepared transactions. Triggers
on tables where they, or everyone, can create triggers are compared too. The earlier state is stored with the
grant as short digests, to keep it small and free of names.

DROP OWNED BY a template removes default privileges that others granted it, without any of their privileges.
These are stored as the SQL that grants them again, so that anything missing at the end can be restored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from types import MappingProxyType
from typing import Any, LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError, Json
from sessions_app.connectors.postgres.acls import ACLS, WITH_FIXED, asking, by_object, given, owner_fix
from sessions_app.connectors.postgres.connection import Budget, Server, connected
from sessions_app.connectors.postgres.defaults import Default, could_stand, defaults
from sessions_app.connectors.postgres.parameters import parameters_of
from sessions_app.connectors.postgres.reach import above, databases_of

# The maximum number of digests that are stored per server, about 35 bytes each. Roles that could affect
# more are refused.
MOST = 5000
# How much of a SHA-256 is compared: 128 bits, in hexadecimal digits.
DIGITS = 32
# The maximum number of changes that are reported individually.
TOLD = 20

_OWNED = sql.SQL("""
WITH {}
SELECT m.refobjid::bigint, i.type, i.identity FROM mine m, pg_identify_object(classid, objid, 0) i
WHERE m.deptype = 'o' AND m.classid <> 'pg_default_acl'::regclass ORDER BY 3
""")
# Databases to which everyone or one of the roles can connect. pg_shdepend does not list PUBLIC's privileges
# there.
_OPEN: LiteralString = """
SELECT d.datname::text, d.datallowconn FROM pg_database d WHERE EXISTS (
    SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    WHERE a.privilege_type = 'CONNECT' AND (a.grantee = 0 OR a.grantee = ANY (%(oids)s))) ORDER BY 1
"""
# The first OID that is not reserved for built-in objects.
_FIRST_OWN = 16384
# Omits triggers that the table's owner, or a superuser, accepted in a comment: no one else can comment on
# them. A holder can replace a trigger, so the digest must not be forgeable.
_TRIGGERS: LiteralString = """
SELECT tgname, identity, digest FROM (
    SELECT t.oid, t.tgname::text, i.identity,
           left(encode(sha256(convert_to(pg_get_triggerdef(t.oid) || t.tgenabled::text, 'UTF8')), 'hex'),
                %(digits)s) AS digest
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid,
         pg_identify_object('pg_class'::regclass, c.oid, 0) i
    WHERE NOT t.tgisinternal AND c.relacl IS NOT NULL AND EXISTS (
        SELECT FROM aclexplode(c.relacl) a
        WHERE a.privilege_type = 'TRIGGER' AND (a.grantee = 0 OR a.grantee = ANY (%(oids)s)))) found
WHERE position('keep ' || digest IN coalesce(obj_description(oid, 'pg_trigger'), '')) = 0
ORDER BY 2, 1 LIMIT %(most)s
"""
_MEMBERS: LiteralString = """
SELECT m.grantor::bigint, r.rolname::text, e.rolname::text FROM pg_auth_members m
JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles e ON e.oid = m.member WHERE m.grantor = ANY (%(oids)s)
ORDER BY 2, 3
"""
_SETTINGS: LiteralString = """
SELECT s.setrole::bigint, unnest(s.setconfig) FROM pg_db_role_setting s WHERE s.setrole = ANY (%(oids)s)
ORDER BY 2
"""
_PREPARED: LiteralString = """
SELECT r.oid::bigint, p.gid, p.database::text FROM pg_prepared_xacts p JOIN pg_roles r ON r.rolname = p.owner
WHERE r.oid = ANY (%(oids)s) ORDER BY 2
"""
SHARED = ""
# Changes of ownership and grants are reported first, because the SQL that reverts the others can hide them.
GAVE, OWNS, HAS = range(3)


@dataclass(frozen=True, slots=True)
class Thing:
    """One change that a role could have made: its description, and the SQL that reverts it.

    ``database`` is where to run that SQL. ``rank`` is the order of reporting.
    """

    database: str
    text: str
    fix: str
    rank: int = GAVE

    @property
    def digest(self) -> str:
        """The stored digest: the first digits of a SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The objects that were found in one database.

    ``defaults`` lists the default privileges that name the roles. ``lost`` lists those that existed before
    the grant and are gone.
    """

    things: list[Thing]
    defaults: list[Default]
    lost: list[Default]


def snapshot(server: Server, templates: Sequence[str], budget: Budget) -> dict[str, Json]:
    """Return the state on the server before a grant of these template roles starts.

    The state is stored with the grant. Raises ConnectorError.
    """
    roles = {role.name: role.oid for role in above(server, templates)}
    found = _look(server, {oid: name for name, oid in roles.items()}, budget)
    count = sum(len(seen.things) + len(seen.defaults) for seen in found.values())
    if count > MOST:
        raise ConnectorError(
            f"{server.place.target.name}: {', '.join(templates) or 'PUBLIC'} can create triggers on tables "
            f"with {count} of them, or has default privileges, or more, but Stint can compare at most "
            f"{MOST}. "
            "Revoke TRIGGER on tables from the role, or from PUBLIC.",
            permanent=True,
        )
    return {
        "templates": list(templates),
        "roles": roles,
        "databases": {name: sorted(one.digest for one in seen.things) for name, seen in found.items()},
        "defaults": {
            name: [list(astuple(one)) for one in seen.defaults]
            for name, seen in found.items()
            if seen.defaults
        },
    }


def appeared(
    server: Server, before: Mapping[str, Any], budget: Budget
) -> tuple[dict[str, Json], list[Thing]]:
    """Return a description of what was compared, and the differences from the state before the grant.

    Raises ConnectorError.
    """
    if not before:
        return {"compared": "nothing: the grant never became usable"}, []
    roles: dict[int, str] = {oid: name for name, oid in before["roles"].items()}
    had = {name: [Default(*row) for row in before["defaults"].get(name, ())] for name in before["databases"]}
    found = _look(server, roles, budget, had=had)
    known = {database: frozenset(digests) for database, digests in before["databases"].items()}
    new = [
        one
        for database, seen in found.items()
        for one in seen.things
        if one.digest not in known.get(database, frozenset())
    ]
    new += _risen(server, before, budget)
    lost = [
        Thing(name, f"gone: {one.text}", one.grant()) for name, seen in found.items() for one in seen.lost
    ]
    told: dict[str, Json] = {
        "roles": sorted(roles.values()) or ["PUBLIC"],
        "databases": sorted(name for name in found if name != SHARED),
        "things": sum(len(seen.things) for seen in found.values()),
        "new": len(new),
        "lost": len(lost),
    }
    return {"compared": told}, sorted(new + lost, key=lambda one: one.rank)


def _risen(server: Server, before: Mapping[str, Any], budget: Budget) -> Iterator[Thing]:
    """For each role that a template has joined since, yield what the role granted or owns, and then the
    membership itself.

    Stint can't determine which of these privileges are older than the grant. Once the membership is revoked,
    none of these privileges is compared anymore.
    """
    for role in above(server, before["templates"]):
        if role.oid in before["roles"].values():
            continue
        found = _look(server, {role.oid: role.name}, budget, triggers=False)
        things = [one for seen in found.values() for one in seen.things]
        for one in things:
            if one.rank == GAVE:
                yield replace(
                    one,
                    text=(
                        f"{one.text} ({role.template} has been a member of {role.name} since the grant began)"
                    ),
                )
        if things:
            fix = sql.SQL("REVOKE {} FROM {};").format(
                sql.Identifier(role.name), sql.Identifier(role.template)
            )
            said = (
                f"{role.template} is a member of {role.name}, which owns objects or granted "
                f"privileges ({len(things)})"
            )
            yield Thing(SHARED, said, fix.as_string(), HAS)


def complaint(server: Server, new: Sequence[Thing]) -> ConnectorError:
    """Return the error for differences that the holder may have caused, with the exact SQL to review."""
    parts = [
        f"{one.text}{f' (database {one.database})' if one.database else ''}: {one.fix}" for one in new[:TOLD]
    ]
    more = f" And {len(new) - TOLD} more." if len(new) > TOLD else ""
    return ConnectorError(
        f"{server.place.target.name}: changes that the grant's roles could have made appeared "
        "during the grant. Stint can't determine who made them. An administrator must review each change "
        "and run the "
        f"SQL that reverts it. {' '.join(parts)}{more}",
        permanent=True,
    )


def _look(
    server: Server,
    roles: Mapping[int, str],
    budget: Budget,
    *,
    triggers: bool = True,
    had: Mapping[str, Sequence[Default]] = MappingProxyType({}),
) -> dict[str, _Seen]:
    """Return the changes that the roles could have made, by database; shared objects are under ``SHARED``.

    ``had`` are the default privileges that named the roles before the grant, for each database that was
    compared then.
    """
    own = parameters_of(server.place).database
    found = {SHARED: _Seen(list(_shared(server, roles)), [], [])}
    where = databases_of(server, list(roles), [own, *had])
    where |= dict(server.rows_by_names(_OPEN, {"oids": list(roles)}))
    for database, connectable in where.items():
        if not connectable:
            continue  # no one can connect to this database, including the holder
        if database == server.connection.info.dbname:
            found[database] = _seen(server, roles, had.get(database, ()), triggers=triggers)
            continue
        with connected(server.place, budget, database=database, purpose="stint look") as there:
            found[database] = _seen(there, roles, had.get(database, ()), triggers=triggers)
    return found


def _seen(there: Server, roles: Mapping[int, str], had: Sequence[Default], *, triggers: bool) -> _Seen:
    now = defaults(there, roles)
    given = [
        Thing(there.connection.info.dbname, one.text, one.revoke())
        for one in now
        if one.owner in roles.values()
    ]
    lost = could_stand(there, [one for one in had if one not in now])
    return _Seen([*_in_database(there, roles, triggers=triggers), *given], now, lost)


def _shared(server: Server, roles: Mapping[int, str]) -> Iterator[Thing]:
    if not roles:
        return
    values = {"oids": list(roles)}
    for oid, role, member in server.rows_by_names(_MEMBERS, values):
        fix = sql.SQL("REVOKE {} FROM {}{};").format(
            sql.Identifier(role),
            sql.Identifier(member),
            (
                sql.SQL(" GRANTED BY {}").format(sql.Identifier(roles[oid]))
                if server.version >= 16
                else sql.SQL("")
            ),
        )
        yield Thing(SHARED, f"{roles[oid]} granted the role {role} to {member}", fix.as_string())
    for oid, setting in server.rows_by_names(_SETTINGS, values):
        name = sql.Identifier(roles[oid])
        fix = sql.SQL("ALTER ROLE {} RESET ALL;").format(name)
        yield Thing(SHARED, f"{roles[oid]} has the setting {setting}", fix.as_string())
    for oid, gid, database in server.rows_by_names(_PREPARED, values):
        fix = sql.SQL("ROLLBACK PREPARED {};").format(sql.Literal(gid))
        yield Thing(database, f"{roles[oid]} prepared the transaction {gid}", fix.as_string())


def _fixed(server: Server, roles: Mapping[int, str]) -> list[int]:
    """Return the built-in roles in whose name a member can create objects.

    Up to PostgreSQL 15, every membership allows SET ROLE.
    """
    return [oid for oid in roles if oid < _FIRST_OWN] if server.version < 16 else []


def _in_database(there: Server, roles: Mapping[int, str], *, triggers: bool) -> Iterator[Thing]:
    database = there.connection.info.dbname
    if roles:
        fixed = _fixed(there, roles)
        gifts = given(there, roles, fixed)
        for one in gifts:
            yield Thing(database, one.text, one.revoke())
        of = by_object(gifts)
        values = {**asking(there, list(roles)), "like": ["%"], "fixed": fixed}
        for oid, type_, identity in there.rows_by_names(_OWNED.format(WITH_FIXED if fixed else ACLS), values):
            fix = owner_fix(there, type_, identity, of.get((oid, type_, identity), ()))
            yield Thing(database, f"{roles[oid]} owns {type_} {identity}", fix, OWNS)
    if triggers:
        for name, identity, digest in there.rows_by_names(
            _TRIGGERS, {"oids": list(roles), "most": MOST + 1, "digits": DIGITS}
        ):
            quoted = sql.Identifier(name).as_string()
            fix = (
                f"DROP TRIGGER {quoted} ON {identity}; -- or, to keep it: "
                f"COMMENT ON TRIGGER {quoted} ON {identity} IS 'keep {digest}';"
            )
            yield Thing(database, f"trigger {name} on {identity} ({digest})", fix)
