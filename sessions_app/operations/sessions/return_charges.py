"""Return to the budgets the amounts that a run reserved but did not use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from sessions_app.models import BudgetUse, CommandRun
from sessions_app.models.budget_use import minute_of


def return_charges(*, run: CommandRun, unsent: bool, unused: Mapping[str, int], now: dt.datetime) -> None:
    """Subtract from the budgets the amounts that a locked run did not use, and update the run's charges.

    ``unsent``: nothing was sent to the target, so nothing counts. ``unused`` is the number of bytes and rows
    that the gateway had reserved for results but did not use.
    """
    back: list[Decimal] = []
    for charge in run.charges:
        amount = Decimal(charge["amount"])
        rest = amount if unsent else min(amount, Decimal(unused.get(charge["measure"], 0)))
        back.append(rest)
    if not any(back):
        return
    counters = BudgetUse.objects.lock((charge["grant"], charge["key"]) for charge in run.charges)
    for charge, rest in zip(run.charges, back, strict=True):
        counter = counters[charge["grant"], charge["key"]]
        counter.add(-rest, charge["per"], charge["minute"], minute_of(now))
        charge["amount"] = str(Decimal(charge["amount"]) - rest)
    BudgetUse.objects.write(counters.values())
