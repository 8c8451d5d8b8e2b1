"""Process due rows. Rows that another process has locked are skipped, so that even a stopped process
doesn't delay other rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Model, QuerySet

from broker.kernel.errors import StintError
from broker.kernel.statement import is_connected

log = structlog.get_logger(__name__)

T = TypeVar("T")

BATCH = 1000
# In seconds. After this time, the rest of a list is left for the next run, so that it doesn't delay rows that
# become due in the meantime.
AWHILE = 1.0


def for_a_while(rows: Iterable[T]) -> Iterator[T]:
    """Yield rows until the time is up, but at least one row. The rest is left for the next run."""
    until = time.monotonic() + AWHILE
    for row in rows:
        yield row
        if time.monotonic() >= until:
            return


def each_free(due: QuerySet[Any], act: Callable[[int], object], *, failed: dict[str, str]) -> int:
    """Call ``act`` with the ID of each due row that is not locked, and return the number of calls.

    Locked rows, and those left when the time is up, are processed in the next run. A failing row is added to
    ``failed``, and does not stop the others. Raises the database's errors if the connection is lost.
    """
    done = 0
    for row in for_a_while(list(due[:BATCH])):
        try:
            done += _act_if_free(due, row, act)
        except (StintError, DatabaseError, ValueError) as error:
            if not is_connected():
                raise
            failed[str(row)] = f"{type(error).__name__}: {error}"
            log.exception("sweep.row_failed", row=str(row), error=failed[str(row)])
    return done


def _act_if_free(due: QuerySet[Any], row: Model, act: Callable[[int], object]) -> int:
    with transaction.atomic():
        free = due.order_by().select_for_update(skip_locked=True, no_key=True, of=("self",))
        if not free.filter(pk=row.pk).first():
            return 0
        act(row.pk)
        return 1
