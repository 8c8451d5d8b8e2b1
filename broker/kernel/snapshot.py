"""Consistent reads for a page, from one snapshot of the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import connection, transaction

# Starting another process for a query takes longer than the queries of pages.
_ALONE = "SET LOCAL max_parallel_workers_per_gather = 0"
_ONE = f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; {_ALONE}"
# Within a transaction that has begun, the isolation level can't be changed.
_WITHIN = f"SET TRANSACTION READ ONLY; {_ALONE}"


@contextlib.contextmanager
def one_snapshot() -> Iterator[None]:
    """Read everything in this block from one snapshot of the database. Writing raises InternalError.

    See https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
    """
    begun = connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_WITHIN if begun else _ONE)
        yield
