"""Access to MariaDB: an account for each grant, never reused, which the server locks when the grant ends."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Sequence

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
from sessions_app.connectors.mariadb import facts, provision, revoke
from sessions_app.connectors.mariadb.check import check_place, check_sets
from sessions_app.connectors.mariadb.connection import Budget, connected
from sessions_app.connectors.mariadb.names import GrantNames
from sessions_app.connectors.mariadb.parameters import MariaDBParameters, parameters_of
from sessions_app.connectors.registry import ConnectorType
from sessions_app.policy.commands import answers

DEFAULT_PORT = 3306


class MariaDBConnector:
    """Creates and revokes accounts. Stateless and safe to use from any number of threads."""

    kind = "mariadb"

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Create or repair the grant's account."""
        budget = Budget()
        with connected(spec.place, budget) as server:
            return provision.make(server, spec, budget)

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Kill the grant's sessions and drop its account."""
        return revoke.revoke(lease, Budget())

    def expire(self, lease: LeaseSpec) -> int:
        """Kill the grant's sessions if the grant has expired according to the server's own row and clock."""
        return revoke.expire(lease, Budget())

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Look for the account, sessions, event and prepared transactions of the grant."""
        return revoke.verify(lease, Budget())

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return every grant, of any cluster, that has objects on the server."""
        with connected(place, Budget()) as server:
            return facts.observed(server)

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Report what Stint lacks on the server, with the SQL that fixes it."""
        return check_place(place, Budget())

    def check_commands(self, place: TargetSpec, sets: Sequence[answers.CompiledSet]) -> list[CheckStep]:
        """Report which tables and routines of the command sets are missing."""
        return check_sets(place, sets, Budget())

    def issue(self, spec: GrantSpec, lease: LeaseSpec) -> Credential:
        """Set a new password for the grant's account. The server receives only its hash.

        Open sessions continue. The previous password no longer works for logins. The holder can change the
        password, but can't unlock the account after its end.
        """
        password, names = secrets.token_urlsafe(24), GrantNames(lease.mark)
        with connected(spec.place, Budget()) as server:
            if not facts.accounts(server, names.user):
                raise ConnectorError(
                    f"{spec.place.target.name} has no account for {spec.grant_ref}: the grant has ended or "
                    "is not ready yet."
                )
            server.run(
                f"ALTER USER {names.account_with_values} IDENTIFIED VIA mysql_native_password USING %s",
                (provision.password_hash(password),),
            )
        return credential(spec, names.user, password)


def credential(spec: GrantSpec, user: str, password: str) -> Credential:
    """Return the credential that is shown to the holder once."""
    parameters, target = parameters_of(spec.place), spec.place.target
    fields = {
        "Username": user,
        "Password": password,
        "Host": target.address,
        "Port": str(target.port),
        **({"Database": parameters.database} if parameters.database else {}),
    }
    if parameters.ca:
        fields[f"Authority (save as {spec.place.cluster}.pem)"] = parameters.ca
    return Credential(
        fields=fields,
        secret=frozenset(("Password",)),
        command=shlex.join(_client(spec, parameters, user)),
        expires_at=spec.expires_at,
    )


def _client(spec: GrantSpec, parameters: MariaDBParameters, user: str) -> list[str]:
    """Return the client's command line. The client prompts for the password."""
    target = spec.place.target
    words = ["mariadb", f"--host={target.address}", f"--port={target.port}", f"--user={user}", "--password"]
    if parameters.tls == "verify-full":
        words.append("--ssl-verify-server-cert")
    elif parameters.tls == "require":
        words += ["--ssl", "--skip-ssl-verify-server-cert"]
    else:
        words.append("--skip-ssl")
    if parameters.ca:
        words.append(f"--ssl-ca={spec.place.cluster}.pem")
    return words + ([parameters.database] if parameters.database else [])


TYPE = ConnectorType(
    kind="mariadb",
    title="MariaDB",
    make=MariaDBConnector,
    parameters=MariaDBParameters,
    default_port=DEFAULT_PORT,
    issues=True,
)
