"""Access to PostgreSQL: a role for each grant, never reused, which can log in until the grant ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from psycopg import sql

from sessions_app.connectors.base import (
    CheckStep,
    ConnectorError,
    Credential,
    Evidence,
    GrantSpec,
    LeaseSpec,
    Observed,
    TargetSpec,
)
from sessions_app.connectors.postgres import facts, provision, revoke
from sessions_app.connectors.postgres.check import check_place, check_sets, unfit_roles
from sessions_app.connectors.postgres.connection import Budget, connected, repeated
from sessions_app.connectors.postgres.names import role_names, until_text
from sessions_app.connectors.postgres.parameters import PostgresParameters, parameters_of
from sessions_app.connectors.postgres.reach import faults_of
from sessions_app.connectors.postgres.scram import new_password, verifier
from sessions_app.connectors.registry import ConnectorType
from sessions_app.policy.commands import answers

DEFAULT_PORT = 5432


class PostgresConnector:
    """Creates and revokes roles. Stateless and safe to use from any number of threads."""

    kind = "postgres"

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Create or repair the grant's roles. Roles that can't be repaired are recreated."""
        budget = Budget()
        try:
            return repeated(budget, lambda: self._make(spec, budget))
        except provision.NotIntactError:
            revoke.revoke(
                LeaseSpec(
                    grant_ref=spec.grant_ref,
                    mark=spec.mark,
                    place=spec.place,
                    made=spec.made,
                    before=spec.before,
                ),
                budget,
            )
            return repeated(budget, lambda: self._make(spec, budget))

    def _make(self, spec: GrantSpec, budget: Budget) -> LeaseSpec:
        with connected(spec.place, budget, purpose=f"stint {spec.grant_ref}") as server:
            return provision.make(server, spec, budget)

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Terminate the grant's sessions and remove its roles from every database."""
        return revoke.revoke(lease, Budget())

    def expire(self, lease: LeaseSpec) -> int:
        """Terminate the grant's sessions if the server no longer admits the grant's role."""
        return revoke.expire(lease, Budget())

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Look for roles, sessions, objects and prepared transactions of the grant."""
        return revoke.verify(lease, Budget())

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return every grant that has a role on the server, of any cluster."""
        budget = Budget()
        with connected(place, budget) as server:
            found = facts.grant_roles(server)
            templates = {role for one in found.values() if one.comment for role in one.comment.roles}
            faults = {one.template: str(one) for one in faults_of(server, sorted(templates), budget)}
            return facts.observed(found, faults)

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Report what Stint lacks on the server, with the SQL that fixes it."""
        return check_place(place, Budget())

    def check_commands(self, place: TargetSpec, sets: Sequence[answers.CompiledSet]) -> list[CheckStep]:
        """Report which template roles of the command sets no grant may include, and why."""
        return check_sets(place, sets, Budget())

    def unfit_roles(self, place: TargetSpec, sets: Sequence[answers.CompiledSet]) -> dict[str, str]:
        """Check the template roles that Stint can grant, and those that the command sets name."""
        return unfit_roles(place, sets, Budget())

    def issue(self, spec: GrantSpec, lease: LeaseSpec) -> Credential:
        """Set a new password for the grant's role. The server receives only its SCRAM verifier.

        Open sessions continue. The previous password no longer works for logins. The holder can change the
        password, but not VALID UNTIL.
        """
        password = new_password()
        set_password(spec.place, spec.grant_ref, lease.mark, password, expires_at=spec.expires_at)
        return credential(spec, role_names(lease.mark).login, password)


def set_password(
    place: TargetSpec, grant_ref: str, mark: str, password: str, *, expires_at: dt.datetime
) -> None:
    """Set the password of a grant's role, valid until the grant expires. Raises ConnectorError.

    Other processes may do the same at the same moment.
    """
    names, budget = role_names(mark), Budget()
    statement = sql.SQL("ALTER ROLE {} PASSWORD {} VALID UNTIL {}").format(
        sql.Identifier(names.login), sql.Literal(verifier(password)), sql.Literal(until_text(expires_at))
    )
    with connected(place, budget, purpose=f"stint {grant_ref}") as server:

        def alter() -> None:
            if names.login not in facts.grant_roles(server, names.both):
                raise ConnectorError(
                    f"{place.target.name} has no role for {grant_ref}: the grant has ended or is not ready"
                    " yet."
                )
            server.run(statement)

        repeated(budget, alter)


def credential(spec: GrantSpec, user: str, password: str) -> Credential:
    """Return the credential that is shown to the holder once."""
    parameters, target = parameters_of(spec.place), spec.place.target
    tls = _tls(spec.place.cluster, parameters)
    fields = {
        "Username": user,
        "Password": password,
        "Host": target.address,
        "Port": str(target.port),
        "Database": parameters.database,
        "URI": _uri(spec, f"{user}:{quote(password, safe='')}", tls),
    }
    if parameters.sslrootcert:
        fields[f"Authority (save as {tls['sslrootcert']})"] = parameters.sslrootcert
    return Credential(
        fields=fields,
        secret=frozenset(("Password", "URI")),
        command=f"psql '{_uri(spec, user, tls)}'",
        expires_at=spec.expires_at,
    )


def _tls(cluster: str, parameters: PostgresParameters) -> dict[str, str]:
    if parameters.sslrootcert:
        return {"sslmode": parameters.sslmode, "sslrootcert": f"{cluster}.pem"}
    if parameters.sslmode == "verify-full":
        return {"sslmode": "verify-full", "sslrootcert": "system"}
    return {"sslmode": parameters.sslmode}


def _uri(spec: GrantSpec, who: str, tls: dict[str, str]) -> str:
    """Return a connection URI without a password, so that psql prompts for it."""
    target, database = spec.place.target, parameters_of(spec.place).database
    host = f"[{target.address}]" if ":" in target.address else quote(target.address, safe="")
    return f"postgresql://{who}@{host}:{target.port}/{quote(database, safe='')}?{urlencode(tls)}"


TYPE = ConnectorType(
    kind="postgres",
    title="PostgreSQL",
    make=PostgresConnector,
    parameters=PostgresParameters,
    default_port=DEFAULT_PORT,
    issues=True,
    orders=True,
)
