"""Connections to a server, with limits on connecting, on each statement, on each lock, and on the whole call.

The server enforces statement limits. They don't help if the server is stopped or the network drops packets,
so each connection has a timer that closes it at the deadline of the call.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.constants import ER

from sessions_app.connectors.base import CALL_SECONDS, ConnectorError, TargetSpec
from sessions_app.connectors.mariadb.parameters import MariaDBParameters, parameters_of

BUDGET_SECONDS = CALL_SECONDS - 3.0
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10
LOCK_SECONDS = 4
# MariaDB's ER_ACCOUNT_HAS_BEEN_LOCKED, which the library doesn't name.
_ACCOUNT_IS_LOCKED = 4151
# Errors that a retry can't solve: a wrong password, missing privileges or objects, no TLS.
_PERMANENT = frozenset(
    (
        ER.ACCESS_DENIED_ERROR,
        ER.DBACCESS_DENIED_ERROR,
        ER.TABLEACCESS_DENIED_ERROR,
        ER.COLUMNACCESS_DENIED_ERROR,
        ER.SPECIFIC_ACCESS_DENIED_ERROR,
        ER.PROCACCESS_DENIED_ERROR,
        ER.NO_SUCH_TABLE,
        ER.BAD_DB_ERROR,
        ER.BAD_FIELD_ERROR,
        ER.SP_DOES_NOT_EXIST,
        _ACCOUNT_IS_LOCKED,
        ER.HOST_NOT_PRIVILEGED,
    )
)

Row = tuple[Any, ...]


@dataclass(slots=True)
class Budget:
    """The deadline of one connector call."""

    until: float = field(default_factory=lambda: time.monotonic() + BUDGET_SECONDS)

    @property
    def left(self) -> float:
        """The seconds until the deadline; never negative."""
        return max(0.0, self.until - time.monotonic())


class _NoPlainPassword:
    """Refuses authentication that sends the password itself, which an imposter could request."""

    def __init__(self, connection: object) -> None:
        del connection

    def authenticate(self, packet: object) -> None:
        """Refuse."""
        raise pymysql.err.OperationalError(0, "the server requests the password in plain text")


@dataclass(frozen=True, slots=True)
class Server:
    """A connection to one place. Server errors are raised as ConnectorError."""

    place: TargetSpec
    connection: Any

    @property
    def parameters(self) -> MariaDBParameters:
        """The cluster's connection parameters."""
        return parameters_of(self.place)

    def run(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run one statement. Raises ConnectorError."""
        self.rows(statement, values)

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a statement. Raises ConnectorError."""
        with said_by(self.place), self.connection.cursor() as cursor:
            cursor.execute(statement, tuple(values) or None)
            return list(cursor.fetchall())

    def value(self, statement: str, values: Sequence[object] = ()) -> Any:
        """Return the only value of a statement. Raises ConnectorError."""
        return self.rows(statement, values)[0][0]


@contextlib.contextmanager
def connected(place: TargetSpec, budget: Budget) -> Iterator[Server]:
    """Connect with Stint's account, in UTC. Raises ConnectorError."""
    parameters = parameters_of(place)
    if budget.left < 1:
        raise ConnectorError(f"{place.target.name} took too long. Stint retries.")
    with contextlib.ExitStack() as stack:
        wire = _connect(place, budget)
        stack.enter_context(_watch(wire, budget))
        connection = _login(place, parameters, wire)
        stack.callback(_close, connection)
        yield Server(place, connection)


def _connect(place: TargetSpec, budget: Budget) -> socket.socket:
    where = (place.target.address, place.target.port)
    try:
        wire = socket.create_connection(where, min(CONNECT_SECONDS, budget.left))
    except OSError as error:
        raise _unreachable(place, error.strerror or str(error)) from None
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return wire


def _login(place: TargetSpec, parameters: MariaDBParameters, wire: socket.socket) -> Any:
    try:
        connection = pymysql.connect(
            host=place.target.address,
            port=place.target.port,
            user=parameters.user,
            password=parameters.password.get_secret_value(),
            charset="utf8mb4",
            ssl=parameters.context(),
            ssl_disabled=parameters.tls == "disable",
            read_timeout=STATEMENT_SECONDS + 1,
            write_timeout=STATEMENT_SECONDS + 1,
            init_command=(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00',"
                f" lock_wait_timeout = {LOCK_SECONDS}, max_statement_time = {STATEMENT_SECONDS}"
            ),
            autocommit=True,
            auth_plugin_map={"mysql_clear_password": _NoPlainPassword, "dialog": _NoPlainPassword},
            defer_connect=True,
        )
        connection.connect(wire)
    except (pymysql.MySQLError, ssl.SSLError, OSError) as error:
        wire.close()
        raise _unreachable(place, reason_of(error), permanent=_stays(error)) from None
    return connection


def _close(connection: Any) -> None:
    with contextlib.suppress(pymysql.MySQLError, OSError):
        connection.close()


@contextlib.contextmanager
def _watch(wire: socket.socket, budget: Budget) -> Iterator[None]:
    """Cut the connection at the deadline of the call."""
    copy = socket.socket(fileno=os.dup(wire.fileno()))
    timer = threading.Timer(budget.left, _cut, (copy,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        copy.close()


def _cut(wire: socket.socket) -> None:
    with contextlib.suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def said_by(place: TargetSpec) -> Iterator[None]:
    """Convert server errors to ConnectorError without the statement, which may contain a password hash."""
    try:
        yield
    except (pymysql.MySQLError, OSError) as error:
        raise ConnectorError(f"{place.target.name}: {reason_of(error)}.", permanent=_stays(error)) from None


def code_of(error: BaseException) -> int:
    """Return the server's error number; 0 if there is none."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) and isinstance(error, pymysql.MySQLError) else 0


def reason_of(error: BaseException) -> str:
    """Return the server's message on one line, or the reason why there is no connection."""
    error = getattr(error, "original_exception", None) or error
    text = str(error.args[-1]) if error.args else type(error).__name__
    return " ".join(text.split()).rstrip(".") or "the connection was lost"


def _stays(error: BaseException) -> bool:
    cause = getattr(error, "original_exception", error)
    return code_of(error) in _PERMANENT or isinstance(cause, ssl.SSLCertVerificationError)


def _unreachable(place: TargetSpec, reason: str, *, permanent: bool = False) -> ConnectorError:
    where = f"{place.target.name} ({place.target.address}:{place.target.port})"
    return ConnectorError(
        f"Login to {where} failed: {reason}. Open the cluster and run Check for details.", permanent=permanent
    )
