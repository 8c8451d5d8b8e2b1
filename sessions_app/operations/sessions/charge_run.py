"""Count a run against the budgets of its grant, and of the grants that it was delegated from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sessions_app.models import BudgetUse, EndReason, Grant
from sessions_app.models.budget_use import minute_of
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.policy.commands.answers import Allowed, CompiledSet, Refused
from sessions_app.policy.commands.budgets import STRICTNESS, Budget, Then, say_amount
from sessions_app.policy.commands.kinds import decide
from sessions_app.queries.catalog.command_sets import compiled as compiled_of
from sessions_app.queries.grants.delegations import chain_of

NOT_COVERED = "a grant that it was delegated from does not allow it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """The decision of the budgets about a run.

    ``then`` is None if the run fits; otherwise ``why`` is the reason, as a clause, and ``ends`` are the
    grants that end. ``charges`` has the amounts that the run has added, as its row stores them.
    """

    then: Then | None = None
    why: str = ""
    ends: tuple[int, ...] = ()
    charges: tuple[dict[str, Any], ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the run may not start, even with an approval."""
        return self.then in ("refuse", "end")

    def end_grants(self, now: dt.datetime) -> None:
        """End the grants whose budget says so. The transaction must have locked their tree first."""
        for grant_id in self.ends:
            end_grant(
                grant_id=grant_id, actor=None, reason=EndReason.BUDGET_USED, now=now, note=self.why[:500]
            )


@dataclass(frozen=True, slots=True)
class _Item:
    grant_id: int
    key: str
    budget: Budget
    amount: Decimal

    def fits(self, used: Decimal) -> bool:
        # The size of a run's results is known only later.
        if self.budget.measure in ("bytes", "rows"):
            return used < self.budget.limit
        return used + self.amount <= self.budget.limit

    def why(self, used: Decimal) -> str:
        what = f"{self.budget.sum} {say_amount(self.amount)}" if self.budget.sum else "it"
        return f"{what} exceeds the budget ({self.budget.use(used)})"

    def stored(self, minute: int, *, over: bool) -> dict[str, Any]:
        return {
            "grant": self.grant_id,
            "key": self.key,
            "measure": self.budget.measure,
            "amount": str(self.amount),
            "most": str(self.budget.limit),
            "per": self.budget.per,
            "then": self.budget.then,
            "minute": minute,
            "over": over,
        }


def charge_run(
    *,
    grant: Grant,
    use: AnyUse,
    decision: Allowed,
    approved: bool = False,
    later: bool = False,
    now: dt.datetime,
) -> Charged:
    """Check an allowed run against all budgets that it counts against, and count it if it fits.

    ``approved``: a person has approved this run, which is enough for budgets whose `then` is `hold`.
    ``later``: only check, because the run is counted once it starts. If any of the sets counts runs, the
    transaction must have locked the grant's tree of delegations (`lock_watched`).
    """
    if not use.compiled.counts:
        return Charged()
    minute = minute_of(now)
    items = list(_items(grant, use.compiled, decision))
    if any(item is None for item in items):
        return Charged(then="refuse", why=NOT_COVERED)
    counted = [item for item in items if item is not None]
    counters = BudgetUse.objects.lock((item.grant_id, item.key) for item in counted)
    used = {item: counters[item.grant_id, item.key].within(item.budget.per, minute) for item in counted}
    over = [item for item in counted if not item.fits(used[item])]
    stops = [item for item in over if not (approved and item.budget.then == "hold")]
    if stops:
        worst = max(stops, key=lambda item: STRICTNESS[item.budget.then])
        ends = tuple(dict.fromkeys(item.grant_id for item in stops if item.budget.then == "end"))
        return Charged(then=worst.budget.then, why=worst.why(used[worst]), ends=ends)
    if later:
        return Charged()
    for item in counted:
        counters[item.grant_id, item.key].add(item.amount, item.budget.per, minute, minute)
    BudgetUse.objects.write(counters.values())
    return Charged(charges=tuple(item.stored(minute, over=item in over) for item in counted))


def _items(grant: Grant, compiled: CompiledSet, decision: Allowed) -> Iterator[_Item | None]:
    """Yield every budget that a run counts against. None: a grant above does not allow the run."""
    yield from _of(grant.pk, compiled, decision)
    for above in chain_of(grant)[:-1]:
        outer = compiled_of(above.command_set_version, above.parameters, above.commands)
        if outer.counts:
            # The same run, as the grant above would decide it.
            theirs = decide(outer, decision.exact or decision.line)
            if isinstance(theirs, Refused):
                yield None
            else:
                yield from _of(above.pk, outer, theirs)


def _of(grant_id: int, compiled: CompiledSet, decision: Allowed) -> Iterator[_Item]:
    for key, budget in compiled.budgets_of(decision.index):
        fixed = {"calls": Decimal(1), "sum": decision.amounts.get(budget.sum or "")}
        yield _Item(grant_id, key, budget, fixed.get(budget.measure) or Decimal(0))
