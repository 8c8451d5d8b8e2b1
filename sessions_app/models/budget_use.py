"""The amounts of its budgets that a grant has used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import ClassVar

from django.db import models

from sessions_app.models.grant import Grant

# The minutes of the last hour, including the one in progress and the one that began an hour ago.
_HOUR = 60


def minute_of(now: dt.datetime) -> int:
    """Return the minute since 1970 in which amounts are counted."""
    return int(now.timestamp()) // 60


class BudgetUseQuerySet(models.QuerySet["BudgetUse"]):
    """The counters of several grants."""

    def lock(self, keys: Iterable[tuple[int, str]]) -> dict[tuple[int, str], BudgetUse]:
        """Lock the counters with these grants and keys, always in the same order, and return them.

        Those that have no row yet are new. To write them, call this in a transaction that has locked the
        grants.
        """
        wanted = sorted(set(keys))
        rows = self.filter(grant__in={grant for grant, _ in wanted}, key__in={key for _, key in wanted})
        found = {
            (row.grant_id, row.key): row
            for row in rows.order_by("grant", "key").select_for_update(no_key=True)
        }
        return {pair: found.get(pair) or BudgetUse(grant_id=pair[0], key=pair[1]) for pair in wanted}

    def write(self, counters: Iterable[BudgetUse]) -> None:
        """Store locked counters."""
        self.bulk_create(
            list(counters),
            update_conflicts=True,
            unique_fields=["grant", "key"],
            update_fields=["used", "recent"],
        )


class BudgetUse(models.Model):
    """The amount of one budget that is used.

    ``key`` is the index of the command, or `set`, a dot, and the index of the budget. ``recent`` has the
    amounts of the last hour, as text, by minute since 1970.
    """

    grant = models.ForeignKey(
        Grant, on_delete=models.CASCADE, related_name="budget_uses", db_index=False, db_constraint=False
    )
    key = models.CharField(max_length=20)
    used = models.DecimalField(max_digits=40, decimal_places=6, default=Decimal(0))
    recent = models.JSONField(default=dict)

    objects = BudgetUseQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["grant", "key"], name="budget_use_once_per_grant")
        ]

    def __str__(self) -> str:
        return f"budget {self.key}: {self.used}"

    def within(self, per: str, minute: int) -> Decimal:
        """Return the amount used under the whole grant, or in the hour before a minute."""
        if per == "grant":
            return self.used
        return sum(
            (Decimal(one) for at, one in self.recent.items() if int(at) >= minute - _HOUR), start=Decimal(0)
        )

    def add(self, amount: Decimal, per: str, at: int, minute: int) -> None:
        """Add an amount to a minute, or subtract it if it is negative. ``minute`` is the current one."""
        self.used += amount
        if per == "hour":
            kept = {key: one for key, one in self.recent.items() if int(key) >= minute - _HOUR}
            if at >= minute - _HOUR:
                kept[str(at)] = str(Decimal(kept.get(str(at), "0")) + amount)
            self.recent = kept
