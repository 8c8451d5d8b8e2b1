"""Check step by step whether a server is set up for Stint, with the SQL that fixes what is missing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import LiteralString

from psycopg import sql

from sessions_app.connectors.base import CheckStep, ConnectorError, TargetSpec
from sessions_app.connectors.postgres.connection import Budget, Server, connected
from sessions_app.connectors.postgres.parameters import KEEPER, PostgresParameters, parameters_of
from sessions_app.connectors.postgres.reach import Fault, faults_of
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.postgres.decide import CompiledSet

OLDEST = 15
SKEW_SECONDS = 2.0
# With hundreds of databases, logging in to each would take too long.
DATABASES_SECONDS = 10.0

_TEMPLATES: LiteralString = """
SELECT ARRAY(SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
             WHERE m.member = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND m.admin_option
             AND r.rolname !~ '^stint_' ORDER BY 1)
"""


def check_place(place: TargetSpec, budget: Budget) -> list[CheckStep]:
    """Log in and check everything that Stint needs. Never raises because of the server's behavior."""
    steps: list[CheckStep] = []
    try:
        with connected(place, budget, purpose="stint check") as server:
            steps.append(
                CheckStep(
                    "login",
                    True,
                    f"PostgreSQL {server.connection.info.server_version // 10000} accepts Stint's login",
                )
            )
            for step in _steps(server, parameters_of(place), budget):
                steps.append(step)  # noqa: PERF402 - keeps the steps before one that fails
    except ConnectorError as error:
        name = "answers" if steps else "login"
        steps.append(CheckStep(name, False, error.message, _login_fix(place, error)))
    return steps


def _login_fix(place: TargetSpec, error: ConnectorError) -> str:
    said = error.message
    if "authentication failed" in said or "permitted to log in" in said:
        return (
            "Check the user name and password of the cluster. `manage.py postgres_target_setup` prints "
            "how to create the role."
        )
    if "pg_hba.conf" in said:
        return (
            "Add a line for Stint's role and address to pg_hba.conf, with method scram-sha-256, and reload."
        )
    if "certificate" in said or "SSL" in said:
        return "Set sslrootcert to the CA certificate, or enable ssl on the server (ssl = on, ssl_cert_file)."
    if "database" in said and "does not exist" in said:
        return "Set dbname to an existing database in the cluster's connection."
    return (
        f"Check that PostgreSQL listens at {place.target.address}:{place.target.port} (listen_addresses), "
        "and that no firewall blocks the connection."
    )


def _steps(server: Server, parameters: PostgresParameters, budget: Budget) -> Iterator[CheckStep]:
    broker = sql.Identifier(server.connection.info.user).as_string()
    yield _version(server)
    yield _encryption(server, parameters)
    yield _superuser(server, broker)
    yield _createrole(server, broker)
    yield _signal(server, broker)
    yield from _templates(server, broker, budget)
    yield _keeper(server, parameters, broker)
    yield _logging(server, broker)
    if parameters.read_statements:
        yield _statements(server, broker)
    yield _clock(server)
    yield from _databases(server, broker, budget)


def _version(server: Server) -> CheckStep:
    fine = server.version >= OLDEST
    fix = "" if fine else f"Stint needs PostgreSQL {OLDEST} or later."
    if server.version == OLDEST:
        fix = (
            "Up to PostgreSQL 15, holders of a template role can use SET ROLE, and objects that they then "
            "create belong to that role. Don't grant CREATE to template roles, or upgrade to PostgreSQL "
            "16."
        )
    return CheckStep("version", fine, f"PostgreSQL {server.version}", fix)


def _encryption(server: Server, parameters: PostgresParameters) -> CheckStep:
    used = bool(server.connection.pgconn.ssl_in_use)
    proven = used and parameters.sslmode.startswith("verify")
    said = "encrypted, with a verified server name" if proven else "encrypted" if used else "not encrypted"
    fix = (
        ""
        if proven
        else "Set sslmode to verify-full. Otherwise passwords and data could go to another server."
    )
    return CheckStep("encryption", True, f"the connection is {said}", fix)


def _superuser(server: Server, broker: str) -> CheckStep:
    said = (
        "Stint's role is a superuser, which is more than it needs"
        if server.superuser
        else "Stint's role is not a superuser"
    )
    fix = f"ALTER ROLE {broker} NOSUPERUSER CREATEROLE;" if server.superuser else ""
    return CheckStep("not a superuser", True, said, fix)


def _createrole(server: Server, broker: str) -> CheckStep:
    fine = bool(server.value("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"))
    said = "Stint's role can create roles" if fine else "Stint's role can't create roles"
    return CheckStep("creates roles", fine, said, "" if fine else f"ALTER ROLE {broker} CREATEROLE;")


def _signal(server: Server, broker: str) -> CheckStep:
    fine = bool(server.value("SELECT pg_has_role(current_user, 'pg_signal_backend', 'USAGE')"))
    said = "Stint's role can terminate sessions" if fine else "Stint's role can't terminate sessions"
    return CheckStep(
        "terminates sessions", fine, said, "" if fine else f"GRANT pg_signal_backend TO {broker};"
    )


def _templates(server: Server, broker: str, budget: Budget) -> Iterator[CheckStep]:
    keeper = parameters_of(server.place).reassign_to
    found = [name for name in server.value(_TEMPLATES) if name not in (KEEPER, keeper)]
    yield _givable(server, broker, found)
    yield from (_fault_step(fault) for fault in faults_of(server, found, budget))


def _fault_step(fault: Fault) -> CheckStep:
    return CheckStep(f"template role {fault.template}", False, f"no grant may use it: {fault}", fault.fix)


def _givable(server: Server, broker: str, found: Sequence[str]) -> CheckStep:
    if server.superuser or found:
        return CheckStep("template roles", True, f"Stint can grant {', '.join(found) or 'every role'}")
    fix = (
        f"For a command such as `ROLE reporting_reader`: GRANT reporting_reader TO {broker} WITH ADMIN"
        " OPTION;"
    )
    if server.version < 16:
        return CheckStep(
            "template roles",
            True,
            "in PostgreSQL 15, CREATEROLE allows granting every role that is not a superuser",
        )
    return CheckStep(
        "template roles",
        True,
        "Stint can grant single privileges, but no template roles",
        fix,
    )


def _keeper(server: Server, parameters: PostgresParameters, broker: str) -> CheckStep:
    keeper = parameters.reassign_to
    name = sql.Identifier(keeper).as_string()
    rows = server.rows(
        "SELECT rolsuper OR rolcreaterole OR rolcanlogin, pg_has_role(current_user, oid, 'MEMBER') FROM"
        " pg_roles WHERE rolname = %s",
        (keeper,),
    )
    if not rows:
        known = keeper == KEEPER
        said = (
            f"{keeper}, which takes ownership of holders' objects, will be created when needed"
            if known
            else f"role {keeper} not found"
        )
        return CheckStep(
            "owner of holders' objects",
            known,
            said,
            "" if known else f"CREATE ROLE {name} NOLOGIN; GRANT {name} TO {broker};",
        )
    powerful, member = rows[0]
    fix = f"GRANT {name} TO {broker};" if not member else ""
    if powerful:
        fix = (
            "Set reassign_to to a role without login and privileges, because holders' functions would run "
            f"as {keeper}."
        )
    return CheckStep(
        "owner of holders' objects",
        member and not powerful,
        f"holders' objects go to {keeper}",
        fix,
    )


def _logging(server: Server, broker: str) -> CheckStep:
    fine = bool(server.value("SELECT has_parameter_privilege(current_user, 'log_statement', 'SET')"))
    said = (
        "the server logs the statements that holders run"
        if fine
        else "the server's own log_statement decides which statements of holders are logged"
    )
    return CheckStep(
        "statement log", True, said, "" if fine else f"GRANT SET ON PARAMETER log_statement TO {broker};"
    )


def _statements(server: Server, broker: str) -> CheckStep:
    fine = bool(server.value("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"))
    said = "Stint can read running statements" if fine else "Stint can't read the statements of other roles"
    return CheckStep("reads statements", fine, said, "" if fine else f"GRANT pg_read_all_stats TO {broker};")


def _clock(server: Server) -> CheckStep:
    before = dt.datetime.now(dt.UTC)
    there = server.value("SELECT extract(epoch FROM clock_timestamp())::float8")
    after = dt.datetime.now(dt.UTC)
    ahead = there - (before.timestamp() + after.timestamp()) / 2
    fine = abs(ahead) <= SKEW_SECONDS
    said = f"the server's clock is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    return CheckStep(
        "clock", fine, said, "" if fine else "Use NTP, because VALID UNTIL uses the server's clock."
    )


def _databases(server: Server, broker: str, budget: Budget) -> Iterator[CheckStep]:
    rows = server.rows(
        "SELECT datname, has_database_privilege(datname, 'CONNECT') FROM pg_database"
        " WHERE datallowconn ORDER BY datname"
    )
    untried, good = 0, 0
    for name, allowed in rows:
        if not allowed:
            fix = f"GRANT CONNECT ON DATABASE {sql.Identifier(name).as_string()} TO {broker};"
            yield CheckStep("database", False, f"Stint can't connect to database {name}", fix)
        elif budget.left < DATABASES_SECONDS:
            untried += 1
        elif (step := _database(server.place, name, budget)) is not None:
            yield step
        else:
            good += 1
    said = f"Stint can connect to {good} databases" + (
        f"; {untried} were not tried for lack of time" if untried else ""
    )
    yield CheckStep("databases", True, said)


def unfit_roles(place: TargetSpec, sets: Sequence[answers.CompiledSet], budget: Budget) -> dict[str, str]:
    """Return the template roles that no grant may include, each with the reason and the fix.

    Checks the roles that Stint can grant, and those that command sets name.
    """
    with connected(place, budget, purpose="stint look") as server:
        roles = {*_named(sets), *server.value(_TEMPLATES)} - {KEEPER, parameters_of(place).reassign_to}
        return {
            one.template: (
                f"no grant may use the role {one.template}: {one}. An administrator must run: {one.fix}"
            )
            for one in faults_of(server, sorted(roles), budget)
        }


def _named(sets: Sequence[answers.CompiledSet]) -> set[str]:
    return {role for one in sets if isinstance(one, CompiledSet) for role in one.template_roles()}


def check_sets(place: TargetSpec, sets: Sequence[answers.CompiledSet], budget: Budget) -> list[CheckStep]:
    """Check the template roles that command sets name, including every open choice.

    Never raises because of the server's behavior.
    """
    named = _named(sets)
    try:
        with connected(place, budget, purpose="stint check") as server:
            found = faults_of(server, sorted(named), budget) if named else []
    except ConnectorError as error:
        return [CheckStep("template roles of command sets", False, error.message, _login_fix(place, error))]
    if not found:
        said = ", ".join(sorted(named)) or "no command set names a template role"
        return [CheckStep("template roles of command sets", True, said)]
    return [_fault_step(fault) for fault in found]


def _database(place: TargetSpec, name: str, budget: Budget) -> CheckStep | None:
    try:
        with connected(place, budget, database=name, purpose="stint check"):
            return None
    except ConnectorError as error:
        return CheckStep("database", False, error.message, _login_fix(place, error))
