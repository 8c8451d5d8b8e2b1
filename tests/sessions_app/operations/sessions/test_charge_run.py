"""Runs that count against budgets: counted under the grant's lock, and never more than fits."""

from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.models import BudgetUse, CommandRun, EndReason, Grant
from sessions_app.operations.grants.delegate_grant import NotWithin, Part, delegate_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.sessions.decide_hold import OnlyOnce, decide_hold
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.try_call import Waiting, try_call
from sessions_app.policy.commands.mcp.decide import decided
from tests.support.world.acts import after, at_once, intact, last
from tests.support.world.budget_site import Holder, budget_files
from tests.support.world.mcp_site import add_desk, pinned


@pytest.fixture
def holding(world):
    def make(*budget: dict[str, Any], **more: Any) -> Holder:
        add_desk(world, 9000, budget_files(*budget, **more))
        return Holder(world)

    return make


def test_what_fits_runs_and_the_next_call_waits_with_the_reason(holding):
    holder = holding({"calls": 2}, {"sum": "amount", "most": "10.5"})
    assert holder.verdicts(10.2, 0.3) == ["allowed", "allowed"]
    assert holder.says == ["2 of 2 calls used", "amount: 10.5 of 10.5 used"]
    tried = holder.spend(0)
    assert tried.verdict == "held"
    assert last("command.held").data["notes"] == ["held because it exceeds the budget (2 of 2 calls used)"]
    assert CommandRun.objects.get(pk=tried.run_id).over_budget
    assert intact()


def test_an_amount_that_does_not_fit_is_refused_and_a_smaller_one_still_fits(holding, world):
    holder = holding({"sum": "amount", "most": 500, "then": "refuse"})
    assert holder.verdicts(340, 180, 160) == ["allowed", "refused", "allowed"]
    entry = last("command.refused")
    assert entry.data["why"] == "amount 180 exceeds the budget (340 of 500 used)."
    assert entry.data["code"] == "budget"
    assert Grant.objects.get(pk=holder.grant.pk).held_at is None


def test_a_budget_that_ends_the_grant_does_at_the_first_call_beyond_it(holding):
    holder = holding({"calls": 1, "then": "end"})
    assert holder.verdicts(1, 1) == ["allowed", "refused"]
    grant = Grant.objects.get(pk=holder.grant.pk)
    assert (grant.state, grant.end_reason) == ("revoking", EndReason.BUDGET_USED)
    assert grant.end_note == "it exceeds the budget (1 of 1 call used)"


def test_the_strictest_of_several_budgets_decides(holding):
    holder = holding({"calls": 1}, {"sum": "amount", "most": 1, "then": "refuse"})
    assert holder.verdicts(1, 1, 0) == ["allowed", "refused", "held"]


def test_all_commands_count_against_the_budget_of_the_set(holding, world):
    holder = holding(shared=[{"calls": 1}])
    look = decided(holder.use.compiled, "look", {})
    assert try_call(use=holder.use, session_id=holder.session, call=look, now=world.now).verdict == "allowed"
    assert holder.spend(1).verdict == "held"
    assert holder.says == ["1 of 1 call used"]


def test_an_hour_is_any_60_minutes(holding, world):
    holder = holding({"calls": 2, "per": "hour", "then": "refuse"})
    at = [after(world, minutes=minutes) for minutes in (0, 30, 59, 62, 63, 93)]
    tried = [holder.spend(1, now=now).verdict for now in at]
    assert tried == ["allowed", "allowed", "refused", "allowed", "refused", "allowed"]
    counter = BudgetUse.objects.get()
    assert counter.used == 4
    assert len(counter.recent) == 2


@given(
    times=st.lists(st.integers(0, 150), min_size=1, max_size=30).map(sorted),
    amounts=st.lists(st.integers(0, 3), min_size=30, max_size=30),
)
def test_no_60_minutes_have_more_than_the_budget(times, amounts):
    counter, made = BudgetUse(key="0.0"), list[tuple[int, int]]()
    for minute, amount in zip(times, amounts, strict=False):
        if counter.within("hour", minute) + amount <= 5:
            counter.add(Decimal(amount), "hour", minute, minute)
            made.append((minute, amount))
    for start, _ in made:
        assert sum(amount for minute, amount in made if start <= minute <= start + 60) <= 5
    assert counter.used == sum(amount for _, amount in made)


def test_an_approved_call_runs_beyond_the_budget_once_and_counts(holding, world):
    holder = holding({"sum": "amount", "most": 5})
    assert holder.verdicts(5) == ["allowed"]
    held = holder.spend(7)
    assert holder.spend(7) == Waiting(run_id=held.run_id, by="")
    with pytest.raises(OnlyOnce, match="beyond the budget"):
        decide_hold(run_id=held.run_id, actor=world.bob, allow=True, for_grant=True, now=world.now)
    decide_hold(run_id=held.run_id, actor=world.bob, allow=True, now=world.now)
    assert holder.spend(7).run_id == held.run_id
    assert holder.says == ["amount: 12 of 5 used"]
    assert holder.spend(7).verdict == "held"


def test_a_held_call_counts_once_it_runs_and_a_firm_budget_stops_it_even_then(holding, world):
    holder = holding({"calls": 1, "then": "refuse"}, hold=True)
    first, second = holder.spend(1), holder.spend(2)
    assert holder.says == ["0 of 1 call used"]
    for held in (first, second):
        decide_hold(run_id=held.run_id, actor=world.bob, allow=True, now=world.now)
    assert holder.spend(1).verdict == "allowed"
    stopped = holder.spend(2)
    assert (stopped.verdict, stopped.message) == ("refused", "it exceeds the budget (1 of 1 call used).")
    run = CommandRun.objects.get(pk=second.run_id)
    assert (run.state, run.started_at) == ("failed", None)
    assert holder.spend(3).verdict == "refused"


def test_a_call_that_was_never_sent_is_given_back_and_a_cut_one_is_not(holding, world):
    holder = holding({"calls": 2}, {"sum": "amount", "most": 10, "per": "hour"})
    unsent, cut = holder.spend(3), holder.spend(4)
    finish_run(run_id=unsent.run_id, state="failed", reason="no answer", now=world.now)
    finish_run(run_id=cut.run_id, state="cut", now=world.now)
    assert holder.says == ["1 of 2 calls used", "amount: 4 of 10 used in the last hour"]


def test_of_50_calls_at_once_never_more_run_than_fit(live_world):
    budget = ({"calls": 9, "then": "refuse"}, {"sum": "amount", "most": "8.5", "then": "refuse"})
    add_desk(live_world, 9000, budget_files(*budget))
    holder = Holder(live_world)
    amounts = [(at % 5) / 2 for at in range(50)]
    tried = at_once(*(partial(holder.spend, amount) for amount in amounts))
    ran = [amount for amount, one in zip(amounts, tried, strict=True) if one.verdict == "allowed"]
    assert 4 < len(ran) <= 9
    assert sum(ran) <= 8.5
    used = [one.used for one in BudgetUse.objects.order_by("key")]
    assert used == [len(ran), Decimal(str(sum(ran)))]


# Delegation


def delegated(holder: Holder, world: Any, identity: str = "deployer") -> Holder:
    part = Part(identity=identity, command_set="desk-mail", parameters={})
    made = delegate_grant(grant_id=holder.grant.pk, actor=holder.grant.holder, part=part, now=world.now)
    return Holder(world, pinned(provision_grant(grant_id=made.pk, now=world.now), world))


def test_a_delegated_grant_uses_the_budget_of_the_grant_above_too(holding, world):
    above = holding({"calls": 3, "then": "refuse"})
    below = delegated(above, world)
    assert (above.verdicts(1), below.verdicts(1, 1, 1)) == (["allowed"], ["allowed", "allowed", "refused"])
    assert above.spend(1).verdict == "refused"
    assert (above.says, below.says) == (["3 of 3 calls used"], ["2 of 3 calls used"])


def test_the_end_of_a_budget_above_ends_the_grant_above_and_all_below(holding, world):
    above = holding({"calls": 1, "then": "end"})
    below = delegated(above, world)
    above.spend(1)
    assert below.spend(1).verdict == "refused"
    reasons = [Grant.objects.get(pk=one.grant.pk).end_reason for one in (above, below)]
    assert reasons == [EndReason.BUDGET_USED, EndReason.PARENT_ENDED]


def test_50_calls_by_grants_of_one_tree_at_once_never_exceed_the_budget_above(live_world):
    world = live_world
    add_desk(world, 9000, budget_files({"sum": "amount", "most": 9, "then": "refuse"}))
    above = Holder(world)
    below = delegated(above, world)
    acts = [partial((above if at % 2 else below).spend, 1) for at in range(50)]
    tried = at_once(*acts)
    assert [one.verdict for one in tried].count("allowed") == 9
    assert BudgetUse.objects.get(grant=above.grant).used == 9
    assert BudgetUse.objects.get(grant=below.grant).used <= 9


def test_a_set_with_a_larger_budget_can_not_be_delegated(holding, world):
    above = holding({"calls": 3})
    other = budget_files({"calls": 4})["command-sets/desk-mail.yaml"].replace("desk-mail", "desk-more")
    world.catalog.update({"command-sets/desk-more.yaml": other})
    world.apply()
    part = Part(identity="deployer", command_set="desk-more", parameters={})
    with pytest.raises(NotWithin, match="would exceed the budget: at most 3 calls"):
        delegate_grant(grant_id=above.grant.pk, actor=above.grant.holder, part=part, now=world.now)
