"""What a run reserved and did not use is given back, and never more than that."""

from decimal import Decimal

import pytest

from sessions_app.models import BudgetUse, CommandRun
from sessions_app.operations.sessions.return_charges import return_charges
from tests.support.world.acts import session, use


@pytest.mark.parametrize(
    ("unsent", "unused", "left"),
    [
        (False, {}, (2, 50)),
        (False, {"bytes": 20}, (2, 30)),
        (False, {"bytes": 99}, (2, 10)),
        (True, {}, (1, 10)),
    ],
)
def test_only_what_the_run_added_comes_back(world, unsent, unused, left):
    used = use(world.grant(), now=world.now)
    charges = [
        {"grant": used.grant_id, "key": key, "measure": measure, "amount": amount, "per": "hour", "minute": 5}
        for key, measure, amount in (("0.0", "calls", "1"), ("0.1", "bytes", "40"))
    ]
    for key, amount in (("0.0", 2), ("0.1", 50)):
        counter = BudgetUse(grant_id=used.grant_id, key=key)
        counter.add(Decimal(amount), "hour", 5, 5)
        counter.save()
    run = CommandRun(
        grant_id=used.grant_id,
        session_id=session(used, now=world.now),
        target_id=used.target.id,
        charges=charges,
    )
    return_charges(run=run, unsent=unsent, unused=unused, now=world.now)
    found = BudgetUse.objects.order_by("key")
    assert tuple(one.used for one in found) == left
