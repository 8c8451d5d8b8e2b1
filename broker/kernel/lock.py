"""Database locks for tasks that wait for other systems. A lock is released when its process ends, regardless
of how.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import connection

_HOLDERS = """
SELECT l.pid FROM pg_locks l
 WHERE l.locktype = 'advisory' AND l.granted AND (l.classid, l.objid, l.objsubid) = (%s, %s, 2)
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# By the database's clock. Nothing else detects a stopped process.
_END_SILENT = """
SELECT pg_terminate_backend(a.pid, 2000) FROM pg_stat_activity a
 WHERE a.pid = ANY (%s) AND a.pid <> pg_backend_pid()
   AND a.state_change < clock_timestamp() - make_interval(secs => %s)
"""


@contextlib.contextmanager
def held(one: int, two: int, *, silent: float) -> Iterator[bool]:
    """Hold the advisory lock with these two numbers during the block. Yield False if another process has it.

    A process that sends no query for ``silent`` seconds loses its connection and so the lock, and can't
    write anything if it resumes. Code that waits for other systems must call ``still_here`` regularly.
    """
    mine = _try(one, two) or (_end_silent(one, two, silent) and _try(one, two))
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [one, two])


@contextlib.contextmanager
def shown(one: int, two: int) -> Iterator[None]:
    """Hold a shared lock that shows that this process is processing the object with these two numbers. The
    lock excludes no one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", [one, two])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_shared(%s, %s)", [one, two])


def is_shown(one: int, two: int) -> bool:
    """Whether a process, running or stopped, is processing the object with these two numbers."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, [one, two])
        return bool(cursor.fetchall())


def in_turn(what: str) -> None:
    """Hold the lock ``what`` until the end of this transaction, after waiting for other transactions that
    hold it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [what])


def still_here() -> None:
    """Send a query, which shows that this process is running. Raises database errors, including if the
    lock was lost with the connection.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _try(one: int, two: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [one, two])
        return bool(cursor.fetchone()[0])


def _end_silent(one: int, two: int, silent: float) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, [one, two])
        cursor.execute(_END_SILENT, [[pid for (pid,) in cursor.fetchall()], silent])
        return bool(cursor.fetchall())
