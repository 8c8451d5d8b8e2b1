"""The amounts of its budgets that a grant has used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sessions_app.models import BudgetUse, Grant, GrantState
from sessions_app.models.budget_use import minute_of
from sessions_app.policy.commands.answers import CompiledSet, budget_of
from sessions_app.policy.commands.budgets import Budget
from sessions_app.policy.commands.kinds import describe
from sessions_app.queries.catalog.command_sets import compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """One budget of a grant, and how much of it is used.

    ``command`` is empty for a budget of all commands together. Amounts are decimal numbers as text. For a
    budget per hour, ``used`` is the amount of the last hour, until the grant ends.
    """

    command: str
    measure: str
    name: str
    used: str
    most: str
    per: str
    then: str
    says: str

    @property
    def reached(self) -> bool:
        """Whether nothing is left."""
        return Decimal(self.used) >= Decimal(self.most)

    @property
    def plain(self) -> dict[str, str]:
        """The budget as plain data."""
        return asdict(self)


def budgets_of(grant: Grant, now: dt.datetime) -> list[BudgetState]:
    """Return the budgets of a grant, those of the whole set first."""
    allowed = compiled(grant.command_set_version, grant.parameters, grant.commands)
    if not allowed.counts:
        return []
    counters = {one.key: one for one in BudgetUse.objects.filter(grant=grant)}
    over = grant.state == GrantState.ENDED
    return [
        _state(command, budget, counters.get(key) or BudgetUse(key=key), over=over, now=now)
        for command, key, budget in _all(allowed)
    ]


def _all(allowed: CompiledSet) -> Iterator[tuple[str, str, Budget]]:
    yield from (("", f"set.{at}", one) for at, one in enumerate(allowed.budget))
    texts = {view.index: view.text for view in describe(allowed)}
    for command in allowed.commands:
        for at, one in enumerate(budget_of(command.rule)):
            yield texts[command.index], f"{command.index}.{at}", one


def _state(command: str, budget: Budget, counter: BudgetUse, *, over: bool, now: dt.datetime) -> BudgetState:
    total = over and budget.per == "hour"
    used = counter.within("grant" if over else budget.per, minute_of(now))
    says = f"{budget.said(used)} used in total, {budget.text}" if total else budget.use(used)
    return BudgetState(
        command=command,
        measure=budget.measure,
        name=budget.sum or "",
        used=f"{used.normalize():f}",
        most=f"{budget.limit.normalize():f}",
        per=budget.per,
        then=budget.then,
        says=f"{budget.sum}: {says}" if budget.sum and not total else says,
    )


def plain_budgets(grant: Grant, now: dt.datetime) -> list[dict[str, Any]]:
    """Return the budgets of a grant as plain data."""
    return [one.plain for one in budgets_of(grant, now)]
