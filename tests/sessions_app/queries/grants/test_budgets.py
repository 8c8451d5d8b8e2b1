"""How much of its budgets a grant has used, wherever it is shown."""

import pytest

from accounts.models import Identity
from sessions_app.gateways.mcp.own_tools import TOOLS
from sessions_app.models import GrantState
from sessions_app.queries.grants.budgets import budgets_of
from sessions_app.queries.grants.receipts import receipt
from tests.support.world.acts import after
from tests.support.world.budget_site import Holder, budget_files
from tests.support.world.mcp_site import add_desk


@pytest.fixture
def holder(world):
    add_desk(world, 9000, budget_files({"calls": 2}, {"sum": "amount", "most": "9.5", "per": "hour"}))
    made = Holder(world)
    made.spend(2.5)
    return made


def test_an_hour_later_only_the_whole_count_is_left(holder, world):
    later = after(world, minutes=70)
    assert holder.says == ["1 of 2 calls used", "amount: 2.5 of 9.5 used in the last hour"]
    assert [one.says for one in budgets_of(holder.grant, later)] == [
        "1 of 2 calls used",
        "amount: 0 of 9.5 used in the last hour",
    ]


def test_the_receipt_has_what_was_used_in_total(holder, world):
    later = after(world, minutes=70)
    holder.grant.state = GrantState.ENDED
    calls, amount = receipt(holder.grant, later)["budgets"]
    assert calls == {
        "command": 'refund {"amount": …}',
        "measure": "calls",
        "name": "",
        "used": "1",
        "most": "2",
        "per": "grant",
        "then": "hold",
        "says": "1 of 2 calls used",
    }
    assert amount["says"] == "2.5 used in total, amount at most 9.5 in total per hour"


def test_agents_read_what_is_left_from_their_own_tool(holder, world):
    robot = Identity.objects.get(pk=holder.grant.holder_id)
    tool = TOOLS["my_grants"]
    _, told = tool.does(robot, tool.takes(), world.now)
    says = [one["says"] for one in told["grants"][0]["budgets"]]
    assert says == holder.says


def test_a_grant_without_budgets_needs_no_statement_about_them(world, django_assert_num_queries):
    grant = world.grant()
    budgets_of(grant, world.now)
    with django_assert_num_queries(0):
        assert budgets_of(grant, world.now) == []
