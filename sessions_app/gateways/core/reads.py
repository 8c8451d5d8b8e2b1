"""Small, frequent reads on the event loop's own database connection, so that they need no thread.

Many reads can be in progress at the same time. Source: PostgreSQL's documentation, "Pipeline Mode" (libpq).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

import psycopg
import structlog
from psycopg import pq

from broker.kernel.database import conninfo
from broker.kernel.errors import Unavailable
from broker.kernel.statement import Answer, Statement

log = structlog.get_logger(__name__)

# In seconds. The connection is opened when reads come at shorter intervals, and closed after a longer
# interval, because a network may drop an idle connection without notice.
BUSY_S = 2.0
# The maximum number of reads in progress, which all fit into the connection's buffer. Further reads use
# threads.
MOST = 64
_Connection = psycopg.AsyncConnection[Any]


class _Read:
    """One read in progress."""

    __slots__ = ("answer", "done")

    def __init__(self, done: asyncio.Future[Answer | None]) -> None:
        self.done = done
        self.answer: Answer | None = None


class Reads:
    """Prepared statements on one connection, which is open only while reads are frequent."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection: _Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._prepared: set[Statement] = set()
        self._under_way: deque[_Read] = deque()
        self._last = float("-inf")

    async def read(self, statement: Statement, values: Sequence[bytes | None]) -> Answer | None:
        """Return the result of a read that starts now, with binary columns; None if there is no connection or
        the read failed, so that the caller must read in a thread.

        Raises Unavailable once the database has been silent for as long as the statement's patience.
        """
        now, before = self._loop.time(), self._last
        self._last = now
        if self._connection is None:
            if self._opening is None and now - before < BUSY_S:
                self._opening = asyncio.create_task(self._open())
            return None
        if len(self._under_way) >= MOST:
            return None
        read = _Read(self._loop.create_future())
        timer = self._loop.call_later(statement.patience_ms / 1000, self._silent, read)
        self._under_way.append(read)
        try:
            self._send(self._connection.pgconn, statement, values)
            return await read.done
        except psycopg.Error as error:
            self._drop(str(error))
            return None
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the connection. Reads in progress move to threads."""
        if self._opening is not None:
            self._opening.cancel()
        self._drop("")

    async def _open(self) -> None:
        try:
            connection = await psycopg.AsyncConnection.connect(conninfo(listens=False), autocommit=True)
        except (psycopg.Error, OSError) as error:
            log.warning("reads.not_connected", error=str(error).strip())
            return
        finally:
            self._opening = None
        pgconn = connection.pgconn
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()
        self._prepared.clear()
        self._connection = connection
        self._loop.add_reader(pgconn.socket, self._readable)
        self._loop.call_later(BUSY_S, self._close_idle, connection)

    def _close_idle(self, connection: _Connection) -> None:
        if connection is not self._connection:
            return
        idle = self._loop.time() - self._last
        if idle < BUSY_S or self._under_way:
            self._loop.call_later(max(BUSY_S - idle, 0.1), self._close_idle, connection)
        else:
            self._drop("")

    def _send(self, pgconn: pq.abc.PGconn, statement: Statement, values: Sequence[bytes | None]) -> None:
        if statement not in self._prepared:
            pgconn.send_prepare(statement.name, statement.prepared)
            self._prepared.add(statement)
        pgconn.send_query_prepared(statement.name, values, result_format=pq.Format.BINARY)
        pgconn.pipeline_sync()
        if pgconn.flush():
            raise psycopg.OperationalError("the connection accepts no more data")

    def _readable(self) -> None:
        if self._connection is None:
            return
        try:
            self._take(self._connection.pgconn)
        except psycopg.Error as error:
            self._drop(str(error))

    def _take(self, pgconn: pq.abc.PGconn) -> None:
        """Process the results that have arrived. Each read has its own result, even if it failed.

        Raises psycopg's errors.
        """
        pgconn.consume_input()
        while self._under_way and not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                continue
            read = self._under_way[0]
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                self._under_way.popleft()
                _end(read)
            elif result.status == pq.ExecStatus.TUPLES_OK:
                read.answer = result
            elif result.status != pq.ExecStatus.COMMAND_OK:
                raise psycopg.OperationalError(result.get_error_message())
        if not self._under_way and pgconn.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError("the server closed the connection")

    def _silent(self, read: _Read) -> None:
        if not read.done.done():
            read.done.set_exception(
                Unavailable("Stint's database did not respond.", hint="Try again in a moment.")
            )
        self._drop("the server is silent")

    def _drop(self, why: str) -> None:
        """Close the connection.

        Reads in progress move to threads, which find out whether the database is available.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if why:
            log.warning("reads.lost", error=why.strip())
        with contextlib.suppress(psycopg.Error):
            self._loop.remove_reader(connection.pgconn.socket)
        connection.pgconn.finish()
        while self._under_way:
            read = self._under_way.popleft()
            read.answer = None
            _end(read)


def _end(read: _Read) -> None:
    if not read.done.done():
        read.done.set_result(read.answer)
