"""Connections to a server, with limits on connecting, on each statement, on each lock, and on the whole call.

The server enforces statement limits. They don't help if the server is stopped or the network drops packets,
so each connection has a timer that cuts it at the deadline of the call.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql

from sessions_app.connectors.base import CALL_SECONDS, ConnectorError, TargetSpec
from sessions_app.connectors.postgres.parameters import PostgresParameters, parameters_of

BUDGET_SECONDS = CALL_SECONDS - 3.0
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10
LOCK_SECONDS = 4
# Two sessions changed the same row of the system catalog (`tuple concurrently updated`, which has no SQLSTATE
# of its own), or deadlocked. Or another session created (23505, 42710) or dropped (42704) a name in the
# meantime.
_COLLISIONS = ("XX000", "40001", "40P01", "23505", "42710", "42704")
# lock_not_available: a lock_timeout expired.
_LOCKED = "55P03"
ATTEMPTS = 25
# In seconds. Pauses grow, because on a busy machine two sessions that collided take longer to finish.
PAUSE, LONGEST_PAUSE = 0.03, 0.3

Row = tuple[Any, ...]
Result = TypeVar("Result")
Statement = sql.SQL | sql.Composed

_PERMANENT = (
    "password authentication failed",
    "no pg_hba.conf entry",
    "certificate verify failed",
    "does not support SSL",
    "is not permitted to log in",
    "does not exist",
    "does not match host name",
    "root certificate",
)
# Class 28: login refused; 3D: unknown database; 42501: insufficient privilege.
_STATES_THAT_STAY = ("28", "3D", "42501")


class CollisionError(ConnectorError):
    """Another session changed the same roles or privileges at the same moment. A retry may succeed."""


class LockedError(ConnectorError):
    """Another session holds a lock on an object being changed."""


class Budget:
    """The deadline of one connector call."""

    def __init__(self, seconds: float = BUDGET_SECONDS) -> None:
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """The seconds until the deadline; never negative."""
        return max(0.0, self._ends - time.monotonic())


class Server:
    """One connection to one database of a place. Server errors are raised as ConnectorError."""

    def __init__(self, place: TargetSpec, connection: psycopg.Connection[Row]) -> None:
        self.place = place
        self.connection = connection
        self.version = connection.info.server_version // 10000
        self._superuser: bool | None = None

    @property
    def superuser(self) -> bool:
        """Whether the broker's role is a superuser on this server."""
        if self._superuser is None:
            self._superuser = bool(self.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
        return self._superuser

    def run(self, statement: LiteralString | Statement, values: Sequence[Any] = ()) -> None:
        """Run one statement. Raises ConnectorError."""
        with said_by(self.place):
            self.connection.execute(statement, values or None)

    def rows(self, statement: LiteralString | Statement, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement. Raises ConnectorError."""
        with said_by(self.place):
            return self.connection.execute(statement, values or None).fetchall()

    def rows_by_names(self, statement: LiteralString | Statement, values: Mapping[str, Any]) -> list[Row]:
        """Return the rows of a statement with named values. Raises ConnectorError."""
        with said_by(self.place):
            return self.connection.execute(statement, values).fetchall()

    def row_by_names(self, statement: LiteralString, values: Mapping[str, Any]) -> Row:
        """Return the only row of a statement with named values. Raises ConnectorError."""
        return self.rows_by_names(statement, values)[0]

    def value(self, statement: LiteralString | Statement, values: Sequence[Any] = ()) -> Any:
        """Return the only value of a statement. Raises ConnectorError."""
        return self.rows(statement, values)[0][0]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the statements inside in one transaction. Raises ConnectorError if it can't be committed."""
        with said_by(self.place), self.connection.transaction():
            yield


@contextlib.contextmanager
def connected(
    place: TargetSpec, budget: Budget, *, database: str | None = None, purpose: str = "stint"
) -> Iterator[Server]:
    """Connect as the broker's role, to the cluster's database or to another one. Raises ConnectorError."""
    parameters = parameters_of(place)
    name = database or parameters.database
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(_authorities(parameters))
        connection = _connect(place, parameters, name, root, budget, purpose)
        stack.callback(connection.close)
        stack.enter_context(_watch(connection, budget))
        yield Server(place, connection)


def _connect(
    place: TargetSpec,
    parameters: PostgresParameters,
    database: str,
    root: str | None,
    budget: Budget,
    purpose: str,
) -> psycopg.Connection[Row]:
    if budget.left < 1:
        raise ConnectorError(f"{place.target.name} took too long. Stint retries.")
    verified = parameters.sslmode.startswith("verify")
    try:
        return psycopg.connect(
            host=place.target.address,
            port=place.target.port,
            user=parameters.user,
            password=parameters.password.get_secret_value(),
            dbname=database,
            sslmode=parameters.sslmode,
            sslrootcert=root,
            # An unverified server must not get the client to send the password in cleartext.
            require_auth=None if verified else "!password",
            connect_timeout=min(CONNECT_SECONDS, int(budget.left) or 1),
            tcp_user_timeout=CONNECT_SECONDS * 1000,
            application_name=purpose,
            client_encoding="UTF8",
            options=_options(),
            autocommit=True,
            prepare_threshold=None,
        )
    except psycopg.Error as error:
        raise _unreachable(place, database, error) from None


def _options() -> str:
    settings = {
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "search_path": "pg_catalog",
        "idle_in_transaction_session_timeout": f"{CALL_SECONDS}s",
        "DateStyle": "ISO",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


@contextlib.contextmanager
def _authorities(parameters: PostgresParameters) -> Iterator[str | None]:
    """Yield libpq's sslrootcert, a file that exists only while libpq connects; None if certificates are not
    verified.
    """
    if not parameters.sslmode.startswith("verify"):
        yield None
    elif not parameters.sslrootcert:
        yield _system_authorities()
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".pem", encoding="ascii") as file:
            file.write(parameters.sslrootcert)
            file.flush()
            yield file.name


def _system_authorities() -> str:
    # psycopg's binary packages look for CA certificates where the build machine had them.
    found = (
        os.environ.get("SSL_CERT_FILE"),
        ssl.get_default_verify_paths().cafile,
        "/etc/ssl/certs/ca-certificates.crt",
    )
    return next((path for path in found if path and Path(path).exists()), "system")


@contextlib.contextmanager
def _watch(connection: psycopg.Connection[Row], budget: Budget) -> Iterator[None]:
    """Cut the connection at the deadline of the call."""
    wire = socket.socket(fileno=os.dup(connection.fileno()))
    timer = threading.Timer(budget.left, _cut, (wire,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        wire.close()


def _cut(wire: socket.socket) -> None:
    with contextlib.suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def said_by(place: TargetSpec) -> Iterator[None]:
    """Convert server errors to ConnectorError without the statement, which may contain a password
    verifier.
    """
    try:
        yield
    except psycopg.Error as error:
        state, message = error.sqlstate or "", f"{place.target.name}: {reason_of(error)}."
        if state in _COLLISIONS:
            raise CollisionError(message) from None
        if state == _LOCKED:
            raise LockedError(message) from None
        raise ConnectorError(message, permanent=state.startswith(_STATES_THAT_STAY)) from None


def repeated(budget: Budget, work: Callable[[], Result]) -> Result:
    """Repeat ``work``, which must be repeatable, until it no longer collides with other sessions.

    PostgreSQL has no suitable lock: anyone, including holders, could take an advisory lock and hold it
    forever.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except CollisionError:
            pause = secrets.SystemRandom().uniform(0, min(PAUSE * attempt, LONGEST_PAUSE))
            if budget.left < pause + CONNECT_SECONDS:
                raise
            time.sleep(pause)
    return work()


def reason_of(error: psycopg.Error) -> str:
    """Return the server's message on one line."""
    if error.diag.message_primary:
        said = (
            f"{error.diag.message_primary}: {error.diag.message_detail}" if error.diag.message_detail else ""
        )
        return " ".join((said or error.diag.message_primary).split()).rstrip(".")
    return " ".join(str(error).split()).rstrip(".") or "the connection was lost"


def _unreachable(place: TargetSpec, database: str, error: psycopg.Error) -> ConnectorError:
    reason = reason_of(error)
    where = f"{place.target.name} ({place.target.address}:{place.target.port}, database {database})"
    return ConnectorError(
        f"Login to {where} failed: {reason}. Open the cluster and run Check for details.",
        permanent=any(said in reason for said in _PERMANENT),
    )
