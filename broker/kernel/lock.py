"""Database locks for work that waits for other systems. They end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import connection

_HOLDERS = """
SELECT l.pid FROM pg_locks l
 WHERE l.locktype = 'advisory' AND l.granted AND (l.classid, l.objid, l.objsubid) = (%s, %s, 2)
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# By the database's clock. Nothing else reveals a process that was stopped.
_END_SILENT = """
SELECT pg_terminate_backend(a.pid, 2000) FROM pg_stat_activity a
 WHERE a.pid = ANY (%s) AND a.pid <> pg_backend_pid() AND a.state_change < clock_timestamp() - make_interval(secs => %s)
"""


@contextlib.contextmanager
def held(one: int, two: int, *, silent: float) -> Iterator[bool]:
    """Hold the advisory lock of two numbers. Yields False if another process has it.

    A process that was silent on its connection for ``silent`` seconds loses the lock with the connection. So it can
    write nothing more when it continues. Code that waits for other systems calls ``still_here`` meanwhile.
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
    """Show others that this process works on what two numbers identify. It keeps none of them from doing so too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", [one, two])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_shared(%s, %s)", [one, two])


def is_shown(one: int, two: int) -> bool:
    """Whether a process works on it: one that is alive or stopped, but not one that is gone."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, [one, two])
        return bool(cursor.fetchall())


def in_turn(what: str) -> None:
    """Wait until no other transaction is at ``what``, and keep others waiting until this one is over."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [what])


def still_here() -> None:
    """Show that this process is alive. Raises the database's errors, also if the lock was lost with the connection."""
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
