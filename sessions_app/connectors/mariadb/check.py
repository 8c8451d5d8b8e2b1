"""Check step by step whether a server is set up for Stint, with the SQL that fixes what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from sessions_app.connectors.base import CheckStep, ConnectorError, TargetSpec
from sessions_app.connectors.mariadb import facts
from sessions_app.connectors.mariadb.connection import Budget, Server, connected
from sessions_app.connectors.mariadb.provision import grant_option
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.mariadb.decide import CompiledSet
from sessions_app.policy.commands.mariadb.privileges import Privilege

OLDEST = (10, 6)
CLOCK_SECONDS = 2.0
_SETUP = "Run the output of `manage.py mariadb_target_setup {cluster}` on the server."
_ADMINISTRATIVE = ("CREATE USER", "PROCESS", "CONNECTION ADMIN")


def check_place(place: TargetSpec, budget: Budget) -> list[CheckStep]:
    """Log in and check everything that Stint needs. Never raises because of the server's behavior."""
    steps: list[CheckStep] = []
    fix = _SETUP.format(cluster=place.cluster)
    try:
        with connected(place, budget) as server:
            for check in _CHECKS:
                steps.append(check(server, fix))
                if not steps[-1].ok and check in _NEEDED:
                    break
    except ConnectorError as error:
        steps.append(
            CheckStep(
                "login",
                ok=False,
                detail=error.message.removesuffix(" Open the cluster and run Check for details."),
                fix=f"Check the connection's address, TLS settings and password. {fix}",
            )
        )
    return steps


def _version(server: Server, fix: str) -> CheckStep:
    del fix
    said = str(server.value("SELECT VERSION()"))
    number = tuple(int(part) for part in said.split("-", 1)[0].split(".")[:2])
    if "mariadb" not in said.lower():
        return CheckStep(
            "server",
            ok=False,
            detail=f"the server is MySQL or a relative, version {said}",
            fix="Stint supports MariaDB only, because its events can end a grant's sessions.",
        )
    if number < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return CheckStep(
            "server", ok=False, detail=f"MariaDB {said}", fix=f"Stint needs MariaDB {wanted} or later."
        )
    return CheckStep("server", ok=True, detail=f"MariaDB {said} accepts Stint's login")


def _encryption(server: Server, fix: str) -> CheckStep:
    del fix
    cipher = str(server.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'")[0][1])
    if server.parameters.tls == "verify-full":
        return CheckStep("encryption", ok=True, detail=f"{cipher}, with a verified server name")
    return CheckStep(
        "encryption",
        ok=True,
        detail=cipher or "not encrypted",
        fix="Set tls to verify-full. Otherwise passwords and data could go to another server.",
    )


def _rights(server: Server, fix: str) -> CheckStep:
    given = " ".join(row[0] for row in server.rows("SHOW GRANTS") if " ON *.* " in row[0])
    missing = [word for word in _ADMINISTRATIVE if word not in given and "ALL PRIVILEGES" not in given]
    if missing:
        return CheckStep(
            "privileges", ok=False, detail=f"Stint's account lacks {', '.join(missing)}", fix=fix
        )
    return CheckStep(
        "privileges", ok=True, detail="Stint's account can create accounts and end their sessions"
    )


def _schema(server: Server, fix: str) -> CheckStep:
    try:
        facts.observed(server)
    except ConnectorError as error:
        return CheckStep("schema", ok=False, detail=error.message, fix=fix)
    return CheckStep("schema", ok=True, detail="Stint can read the grant tables and its own schema")


def _scheduler(server: Server, fix: str) -> CheckStep:
    del fix
    if str(server.value("SELECT @@event_scheduler")) == "ON":
        return CheckStep("deadline", ok=True, detail="the server itself ends each grant, by its own clock")
    return CheckStep(
        "deadline",
        ok=False,
        detail="the event scheduler is off, so the server doesn't end grants on its own",
        fix="SET GLOBAL event_scheduler = ON; and set event_scheduler=ON in the server's configuration.",
    )


def _clock(server: Server, fix: str) -> CheckStep:
    del fix

    ahead = float(server.value("SELECT UNIX_TIMESTAMP(NOW(6))")) - time.time()
    detail = f"the server's clock is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    return CheckStep(
        "clock",
        ok=abs(ahead) <= CLOCK_SECONDS,
        detail=detail,
        fix="" if abs(ahead) <= CLOCK_SECONDS else "Use NTP, because grants end by the server's clock.",
    )


def _everyone(server: Server, fix: str) -> CheckStep:
    """Check for privileges that every account has, including the accounts of grants."""
    del fix
    rows = server.rows("SELECT DISTINCT User, Db FROM mysql.db WHERE User IN ('', 'PUBLIC')")
    if not rows:
        return CheckStep("everyone", ok=True, detail="no database privileges that every account has")
    named = ", ".join(sorted({db for _, db in rows}))
    return CheckStep(
        "everyone",
        ok=False,
        detail=f"every account has privileges on {named}, so each grant's holder has them too",
        fix=(
            "Revoke them from PUBLIC and from accounts without a name, for example by"
            " mariadb-secure-installation."
        ),
    )


_CHECKS: tuple[Callable[[Server, str], CheckStep], ...] = (
    _version,
    _encryption,
    _rights,
    _schema,
    _scheduler,
    _clock,
    _everyone,
)
_NEEDED = (_version, _rights, _schema)


def check_sets(place: TargetSpec, sets: Sequence[answers.CompiledSet], budget: Budget) -> list[CheckStep]:
    """Report, for each command set, which tables and routines are missing or can't be seen by Stint.

    Never raises because of the server's behavior.
    """
    try:
        with connected(place, budget) as server:
            return [_set_step(server, one) for one in sets if isinstance(one, CompiledSet)]
    except ConnectorError as error:
        return [CheckStep("command sets", ok=False, detail=error.message, fix="")]


def _set_step(server: Server, one: CompiledSet) -> CheckStep:
    missing = [privilege for privilege in _complete(one) if not _exists(server, privilege)]
    if not missing:
        return CheckStep(one.name, ok=True, detail="Stint can see its tables and routines")
    return CheckStep(
        one.name,
        ok=False,
        detail=f"not found, or Stint can't grant privileges on it: {', '.join(map(str, missing))}",
        fix=" ".join(grant_option(server.parameters.user, privilege) for privilege in missing),
    )


def _complete(one: CompiledSet) -> Iterator[Privilege]:
    """Yield the privileges with complete names; names with parameters are checked when a grant starts."""
    found: Iterable[Privilege] = (
        privilege
        for command in one.commands
        for privilege in command.privileges
        if isinstance(privilege, Privilege) and not privilege.slots
    )
    yield from dict.fromkeys(found)


def _exists(server: Server, one: Privilege) -> bool:
    schema, name = one.plain_names[:2]
    if one.kind in {"table", "column"}:
        text = "SELECT count(*) FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
    else:
        text = (
            "SELECT count(*) FROM information_schema.routines WHERE routine_schema = %s AND routine_name = %s"
        )
    return bool(server.value(text, (schema, name)))
