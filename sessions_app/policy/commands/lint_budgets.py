"""The linter for budgets. It finds amounts that the holder chooses without a limit on their total."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sessions_app.policy.commands.document import BudgetedRule, BudgetedSet, CommandSetDocument
from sessions_app.policy.commands.findings import Finding

_MONEY = frozenset(
    ("amount", "amounts", "cents", "money", "payment", "payout", "refund", "spend", "sum", "total")
)


def budget_findings(document: CommandSetDocument) -> Iterator[Finding]:
    """Find changes with an amount that the holder chooses at each run, without approval or a budget."""
    if not isinstance(document, BudgetedSet) or document.budget:
        return
    for index, rule in enumerate(document.commands):
        if not isinstance(rule, BudgetedRule) or rule.budget or rule.held or rule.effect == "read":
            continue
        for name in document.free_names(rule):
            if _MONEY.intersection(re.split(r"[^a-z]+", re.sub(r"([A-Z])", r"_\1", name).lower())):
                yield Finding(
                    "warning",
                    "no_budget",
                    f"commands[{index}].budget",
                    f"the holder chooses {name} at each run, and nothing limits the total",
                    f"set a budget, such as [{{sum: {name}, most: 500}}] or [{{calls: 20}}], or hold: true",
                )
