"""Store values that a call returned, for later calls of the same grant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from sessions_app.models import Grant, GrantState, ReturnedValue
from sessions_app.operations.sessions.proofs.token import CallUse
from sessions_app.policy.commands.mcp.results import MAX_VALUES, returned
from sessions_app.queries.grants.earlier_results import RESULTS_LAST, digests_of


def keep_results(
    *, use: CallUse, run_id: int, tool: str, result: Mapping[str, Any], now: dt.datetime
) -> None:
    """Store digests of a result's values, for the fields from which arguments of later calls can come.

    This must be done before the holder gets the result. A grant has at most MAX_VALUES digests, each for at
    most RESULTS_LAST; those of the oldest calls are dropped first. A grant that is ending keeps none.
    """
    values = returned(result, use.compiled.fields.get(tool, ()))
    if not values:
        return
    with transaction.atomic():
        live = Grant.objects.select_for_update(no_key=True).filter(pk=use.grant_id, state=GrantState.ACTIVE)
        if live.first() is None:
            return
        ReturnedValue.objects.bulk_create(
            [
                ReturnedValue(grant_id=use.grant_id, run_id=run_id, digest=digest, at=now)
                for digest in digests_of(use.mark, values)
            ],
            update_conflicts=True,
            unique_fields=["grant", "digest"],
            update_fields=["run", "at"],
        )
        _drop_oldest(use.grant_id, now)


def _drop_oldest(grant_id: int, now: dt.datetime) -> None:
    kept = ReturnedValue.objects.filter(grant=grant_id)
    kept.filter(at__lte=now - RESULTS_LAST).delete()
    if kept.count() > MAX_VALUES:
        kept.exclude(pk__in=kept.order_by("-run_id", "-pk").values("pk")[:MAX_VALUES]).delete()
