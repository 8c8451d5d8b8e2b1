"""Walk rows that are due, where any of them may be held by a process that was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Model, QuerySet

from broker.kernel.errors import StintError

log = structlog.get_logger(__name__)

T = TypeVar("T")

BATCH = 1000
# Seconds. Each row may let itself be waited for, so that many rows would keep what falls due next waiting.
AWHILE = 1.0


def for_a_while(rows: Iterable[T]) -> Iterator[T]:
    """Yield rows until the time is up, the first in any case. The caller comes back for the others."""
    until = time.monotonic() + AWHILE
    for row in rows:
        yield row
        if time.monotonic() >= until:
            return


def each_free(
    due: QuerySet[Any], act: Callable[[int], object], *, failed: dict[str, str], no_key: bool = False
) -> int:
    """Call ``act`` with the id of each row that is due and that no other process holds, and return for how many.

    What is held, or is left when the time is up, is found again. A row that fails is noted in ``failed``, and stops no other.
    ``no_key`` is as in ``select_for_update``, and as ``act`` has it.
    """
    done = 0
    for row in for_a_while(list(due[:BATCH])):
        try:
            done += _act_if_free(due, row, act, no_key=no_key)
        except (StintError, DatabaseError, ValueError) as error:
            failed[str(row)] = f"{type(error).__name__}: {error}"
            log.exception("sweep.row_failed", row=str(row), error=failed[str(row)])
    return done


def _act_if_free(due: QuerySet[Any], row: Model, act: Callable[[int], object], *, no_key: bool) -> int:
    with transaction.atomic():
        free = due.order_by().select_for_update(skip_locked=True, no_key=no_key, of=("self",))
        if not free.filter(pk=row.pk).first():
            return 0
        act(row.pk)
        return 1
