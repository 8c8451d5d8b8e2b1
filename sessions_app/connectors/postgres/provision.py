"""Create or repair the roles of a grant in one transaction, either completely or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from psycopg import sql

from sessions_app.connectors.base import ConnectorError, GrantSpec, Json, LeaseSpec
from sessions_app.connectors.postgres.connection import Budget, Server
from sessions_app.connectors.postgres.facts import RoleFacts, faults, grant_roles
from sessions_app.connectors.postgres.handed import snapshot
from sessions_app.connectors.postgres.names import Comment, RoleNames, role_names, until_text
from sessions_app.connectors.postgres.parameters import parameters_of
from sessions_app.connectors.postgres.privileges import grant_missing, grant_option
from sessions_app.connectors.postgres.reach import refuse_faults
from sessions_app.policy.commands.postgres.decide import CompiledSet
from sessions_app.policy.commands.postgres.privileges import Privilege


class NotIntactError(ConnectorError):
    """The roles deviate from their expected state, and only recreating them can help."""


def make(server: Server, spec: GrantSpec, budget: Budget) -> LeaseSpec:
    """Create or repair the roles of a grant. Return the data for later calls, and the state before.

    Raises NotIntactError if the roles can't be repaired, and ConnectorError for anything else.
    """
    names = role_names(spec.mark)
    wanted = privileges_of(server, spec)
    templates = [one.plain_names[0] for one in wanted if one.kind == "role"]
    _refuse_over(server, spec.expires_at)
    refuse_faults(server, templates, budget)
    before = spec.before or snapshot(server, templates, budget)
    with server.transaction():
        _make_roles(server, spec, names)
        _make_memberships(server, names, templates)
        grant_missing(server, names.login, names.rights, [one for one in wanted if one.kind != "role"])
        logs = _log_statements(server, names.login)
        _comment(server, spec, names, templates)
        login = _checked(server, spec, names)
    made: dict[str, Json] = {
        "role": names.login,
        "oid": login.oid,
        "rights_oid": grant_roles(server, [names.rights])[names.rights].oid,
        "database": parameters_of(spec.place).database,
        "privileges": len(wanted) - len(templates),
        "template_roles": templates,
        "logs_statements": logs,
    }
    return LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place, made=made, before=before)


def privileges_of(server: Server, spec: GrantSpec) -> tuple[Privilege, ...]:
    """Return the privileges of the grant's command set. Raises ConnectorError for commands of
    another kind.
    """
    if not isinstance(spec.commands, CompiledSet):
        raise ConnectorError(
            f"{server.place.target.name} is a PostgreSQL server, and the grant's commands are of kind"
            f" {spec.commands.kind}.",
            permanent=True,
        )
    return spec.commands.privileges()


def _refuse_over(server: Server, expires_at: dt.datetime) -> None:
    if server.value("SELECT clock_timestamp() >= %s", (expires_at,)):
        raise ConnectorError(
            f"{server.place.target.name}: the grant has expired by the server's clock.", permanent=True
        )


def _make_roles(server: Server, spec: GrantSpec, names: RoleNames) -> None:
    found = grant_roles(server, names.both)
    if names.rights not in found:
        server.run(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(names.rights)))
    elif found[names.rights].can_login:
        server.run(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(names.rights)))
    word = sql.SQL("ALTER ROLE") if names.login in found else sql.SQL("CREATE ROLE")
    limits = sql.SQL("{} {} LOGIN CONNECTION LIMIT {} VALID UNTIL {}").format(
        word,
        sql.Identifier(names.login),
        sql.Literal(parameters_of(spec.place).connection_limit),
        sql.Literal(until_text(spec.expires_at)),
    )
    server.run(limits)


def _make_memberships(server: Server, names: RoleNames, templates: Sequence[str]) -> None:
    """Make the login role a member of exactly its rights role and the templates."""
    found = grant_roles(server, names.both)
    login, rights = found[names.login], found[names.rights]
    wanted = [names.rights, *templates]
    for role in login.roles:
        if login.loose or role not in wanted:
            _revoke(server, role, names.login)
    for role in wanted:
        if login.loose or role not in login.roles:
            _join(server, role, names.login)
    for member in login.members:
        _revoke(server, names.login, member)
    for role, member in ((names.rights, other) for other in rights.members if other != names.login):
        _revoke(server, role, member)
    for role in rights.roles:
        _revoke(server, role, names.rights)


def _revoke(server: Server, role: str, member: str) -> None:
    try:
        server.run(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(role), sql.Identifier(member)))
    except ConnectorError as error:
        raise (NotIntactError(error.message, permanent=True) if error.permanent else error) from None


def _join(server: Server, role: str, member: str) -> None:
    # Without SET, no one can create objects in a template role's name. PostgreSQL 15 has no such option.
    how = sql.SQL(" WITH ADMIN FALSE, INHERIT TRUE, SET FALSE" if server.version >= 16 else "")
    try:
        server.run(sql.SQL("GRANT {} TO {}{}").format(sql.Identifier(role), sql.Identifier(member), how))
    except ConnectorError as error:
        if not error.permanent:
            raise
        fix = grant_option(server.connection.info.user, Privilege("role", "MEMBER", (role,)))
        raise ConnectorError(
            f"{server.place.target.name}: Stint's role can't grant the role {role}. An administrator must"
            f" run: {fix}",
            permanent=True,
        ) from None


def _log_statements(server: Server, login: str) -> bool:
    """Make the server log the holder's statements, if Stint can set log_statement.

    Return whether they are logged.

    The holder can't turn the logging off.
    """
    if not server.value("SELECT has_parameter_privilege(current_user, 'log_statement', 'SET')"):
        return False
    server.run(sql.SQL("ALTER ROLE {} SET log_statement = 'all'").format(sql.Identifier(login)))
    return True


def _comment(server: Server, spec: GrantSpec, names: RoleNames, templates: Sequence[str]) -> None:
    comment = Comment(
        grant=spec.grant_ref,
        mark=spec.mark,
        until=until_text(spec.expires_at),
        connections=parameters_of(spec.place).connection_limit,
        roles=tuple(templates),
        acls=grant_roles(server, [names.rights])[names.rights].acls,
    )
    for name in names.both:
        server.run(
            sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(name), sql.Literal(comment.text()))
        )


def _checked(server: Server, spec: GrantSpec, names: RoleNames) -> RoleFacts:
    found = grant_roles(server, names.both)
    wrong = faults(names, found)
    if wrong:
        raise NotIntactError(
            f"{server.place.target.name}: the role of {spec.grant_ref} can't be fixed: {'; '.join(wrong)}. "
            f"An administrator must revert these changes, or drop the role {names.login}.",
            permanent=True,
        )
    return found[names.login]
