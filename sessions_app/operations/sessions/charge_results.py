"""Count a run's results against its budgets before the holder gets them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction

from sessions_app.models import BudgetUse, CommandRun, EndReason, Grant, RunState
from sessions_app.models.budget_use import minute_of
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.note_deviation import lock_watched

# The share of the remaining budget that one run may reserve in advance, so that concurrent runs get some as
# well.
_SHARE = 4


def charge_results(
    *, run_id: int, needed: Mapping[str, int], ahead: Mapping[str, int], now: dt.datetime
) -> dict[str, int]:
    """Count bytes and rows of a running run's result, and return how many of each may pass.

    Amounts are keyed by measure (`bytes`, `rows`). If less is left than ``needed``, the result is empty:
    nothing may pass, the budget counts as used up, and the grant ends if the budget says so. Otherwise, up to
    ``ahead`` more is reserved, which `return_charges` gives back if it is not used. The result is also empty
    if the run is over.
    """
    with transaction.atomic():
        grant_id = CommandRun.objects.values_list("grant", flat=True).get(pk=run_id)
        lock_watched(grant_id=grant_id)
        run = CommandRun.objects.select_for_update(no_key=True).get(pk=run_id)
        if run.state != RunState.RUNNING:
            return {}
        granted = _charge(run, needed, ahead, minute_of(now))
        run.save(update_fields=["charges"])
        if not granted:
            _end_grants(run, needed, now)
        return granted


def _charge(
    run: CommandRun, needed: Mapping[str, int], ahead: Mapping[str, int], minute: int
) -> dict[str, int]:
    charges = [one for one in run.charges if one["measure"] in needed]
    counters = BudgetUse.objects.lock((one["grant"], one["key"]) for one in charges)

    def left(one: dict[str, Any]) -> Decimal:
        used = counters[one["grant"], one["key"]].within(one["per"], minute)
        return max(Decimal(one["most"]) - used, Decimal(0))

    limited = [one for one in charges if not one["over"]]
    short = [one for one in limited if left(one) < needed[one["measure"]]]
    granted = {}
    for measure, need in needed.items():
        free = [int(left(one)) - need for one in limited if one["measure"] == measure]
        granted[measure] = need + min([ahead.get(measure, 0), *(one // _SHARE for one in free)])
    for one in short or charges:
        amount = left(one) if short else Decimal(granted[one["measure"]])
        counters[one["grant"], one["key"]].add(amount, one["per"], minute, minute)
        one["amount"] = str(Decimal(one["amount"]) + amount)
    BudgetUse.objects.write(counters.values())
    return {} if short else granted


def _end_grants(run: CommandRun, needed: Mapping[str, int], now: dt.datetime) -> None:
    ends = {one["grant"] for one in run.charges if one["measure"] in needed and one["then"] == "end"}
    for grant in Grant.objects.filter(pk__in=ends).order_by("pk"):
        end_grant(
            grant_id=grant.pk,
            actor=None,
            reason=EndReason.BUDGET_USED,
            now=now,
            note=f"the result of run {run.pk} exceeds the budget",
        )
