"""What runs return: counted before it passes, and never more than is left."""

from functools import partial

from sessions_app.models import BudgetUse, EndReason, Grant
from sessions_app.operations.sessions.charge_results import charge_results
from sessions_app.operations.sessions.finish_run import finish_run
from tests.support.world.acts import at_once
from tests.support.world.budget_site import Holder, budget_files
from tests.support.world.mcp_site import add_desk


def holder_with(world, **budget) -> Holder:
    add_desk(world, 9000, budget_files(budget))
    return Holder(world)


def charged(world, run_id: int, needed: int, ahead: int = 0) -> int:
    found = charge_results(run_id=run_id, needed={"bytes": needed}, ahead={"bytes": ahead}, now=world.now)
    return found.get("bytes", 0)


def test_a_result_passes_while_it_fits_and_the_first_that_does_not_uses_the_budget_up(world):
    holder = holder_with(world, bytes="10KB")
    tried = holder.spend(1)
    assert tried.counts == {"bytes"}
    assert charged(world, tried.run_id, 6000) == 6000
    assert charged(world, tried.run_id, 4001) == 0
    assert holder.says == ["10 KB of 10 KB used"]
    assert charged(world, tried.run_id, 1) == 0
    assert holder.spend(1).verdict == "held"


def test_only_a_share_of_what_is_left_is_reserved_and_what_is_not_used_is_given_back(world):
    holder = holder_with(world, bytes="10KB")
    tried = holder.spend(1)
    assert charged(world, tried.run_id, 2000, ahead=100_000) == 4000
    finish_run(run_id=tried.run_id, state="done", unused={"bytes": 1500}, now=world.now)
    assert holder.says == ["2500 B of 10 KB used"]


def test_a_result_beyond_the_budget_ends_the_grant_if_the_budget_says_so(world):
    holder = holder_with(world, bytes="1KB", then="end")
    tried = holder.spend(1)
    assert charged(world, tried.run_id, 1001) == 0
    assert Grant.objects.get(pk=holder.grant.pk).end_reason == EndReason.BUDGET_USED


def test_nothing_passes_once_the_run_is_over(world):
    holder = holder_with(world, bytes="1KB")
    tried = holder.spend(1)
    finish_run(run_id=tried.run_id, state="cut", now=world.now)
    assert charged(world, tried.run_id, 1) == 0
    assert holder.says == ["0 B of 1 KB used"]


def test_of_50_results_at_once_never_more_passes_than_the_budget(live_world):
    holder = holder_with(live_world, bytes="10KB")
    runs = [holder.spend(1).run_id for _ in range(50)]
    passed = at_once(*(partial(charged, live_world, run, 700, 500) for run in runs))
    assert sum(1 for one in passed if one) >= 7
    assert sum(passed) <= 10_000
    assert BudgetUse.objects.get().used <= 10_000
