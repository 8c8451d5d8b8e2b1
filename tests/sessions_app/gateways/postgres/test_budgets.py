"""Budgets of statements, with real clients and a real server."""

import contextlib
import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import yaml
from psycopg import errors

from sessions_app.gateways.postgres import wire
from sessions_app.models import BudgetUse
from sessions_app.queries.grants.budgets import budgets_of
from tests.sessions_app.gateways.postgres.test_raw import logged_in
from tests.support.servers.kubernetes_place import accepted
from tests.support.servers.postgres_place import COMMAND_SET
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

BEYOND = "exceeds the budget"
MANY = "SELECT id FROM app.many WHERE id <= %s"


def budget_set() -> str:
    written = yaml.safe_load(COMMAND_SET)
    pay, _, note, *_, reads = [one for one in written["commands"] if "call" not in one]
    note.pop("hold")
    written.update(
        name="budget-orders",
        commands=[
            {**pay, "budget": [{"sum": "id", "most": 4, "then": "refuse"}]},
            {
                "sql": "UPDATE app.orders SET note = {note} WHERE id < {id}",
                "where": note["where"],
                "effect": "change",
                "budget": [{"rows": 3, "then": "refuse"}],
            },
            {**reads, "budget": [{"rows": 1000, "then": "refuse"}, {"calls": 20, "then": "refuse"}]},
            {
                "sql": "UPDATE app.orders SET note = {token} WHERE id = {id}",
                "where": {"token": {"pattern": "[a-z']{4,20}"}, "id": {"int": [1, 9]}},
                "secret": ["token"],
                "effect": "change",
                "budget": [{"calls": 3, "then": "refuse"}, {"sum": "id", "most": 5, "then": "refuse"}],
            },
        ],
    )
    # Without anchors.
    return accepted(yaml.safe_dump(json.loads(json.dumps(written))))


@pytest.fixture(scope="module")
def made(place):
    from broker.kernel import clock

    policy = json.loads(place.world.catalog["policies/shop-work.yaml"])
    policy["command_sets"].append("budget-orders")
    policy["delegation"] = {"depth": 1, "to": {"identities": ["deployer"]}}
    place.world.catalog.update(
        {
            "command-sets/budget-orders.yaml": budget_set(),
            "policies/shop-work.yaml": json.dumps(policy),
        }
    )
    place.world.apply(now=clock.now())
    return lambda: place.grant(command_set="budget-orders")


@pytest.fixture
def grant(place, made):
    place.shop.admin("UPDATE app.orders SET status = 'open', note = 'x'")
    return made()


def says(grant) -> list[str]:
    from broker.kernel import clock

    return [one.says for one in budgets_of(grant, clock.now())]


def test_a_sum_counts_what_was_sent_and_gives_back_what_was_not(place, grant):
    pay = "UPDATE app.orders SET status = 'paid' WHERE id = %s"
    with place.connect(grant) as client:
        client.execute(pay, [1])
        with pytest.raises(errors.InsufficientPrivilege, match=rf"id 4 {BEYOND} \(1 of 4 used\)"):
            client.execute(pay, [4])
        # Of several statements, none is sent if one of them is refused.
        with pytest.raises(errors.InsufficientPrivilege, match=BEYOND):
            client.execute(f"{pay % 2}; {pay % 3}")
        eventually(lambda: says(grant)[0] == "id: 1 of 4 used")
        client.execute(pay, [3], prepare=True)
    assert says(grant)[0] == "id: 4 of 4 used"


def test_rows_that_are_changed_beyond_the_budget_are_rolled_back(place, grant):
    note = "UPDATE app.orders SET note = %s WHERE id < %s"
    with place.connect(grant) as client:
        assert client.execute(note, ["a", 2]).rowcount == 1
        with pytest.raises(errors.InsufficientPrivilege, match=BEYOND):
            client.execute(note, ["b", 9])
        assert place.shop.one("SELECT count(*) FROM app.orders WHERE note = 'b'") == 0
        with pytest.raises(errors.InsufficientPrivilege, match="3 of 3 rows used"):
            client.execute(note, ["c", 2])


def test_rows_pass_while_they_fit_and_no_row_passes_beyond(place, grant):
    with place.connect(grant) as client:
        assert len(client.execute(MANY, [600]).fetchall()) == 600
        eventually(lambda: says(grant)[2] == "600 of 1,000 rows used")
        with pytest.raises(errors.InsufficientPrivilege, match=BEYOND):
            client.execute(MANY, [401])
        with pytest.raises(errors.InsufficientPrivilege, match="1,000 of 1,000 rows used"):
            client.execute(MANY, [1])


def test_connections_at_once_never_get_more_rows_than_the_budget(place, grant):
    def read(client: psycopg.Connection) -> int:
        try:
            return len(client.execute(MANY, [150]).fetchall())
        except psycopg.Error:
            return 0

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(10) as pool:
        clients = [stack.enter_context(place.connect(grant)) for _ in range(10)]
        rows = list(pool.map(read, clients))
    assert 150 <= sum(rows) <= 1000
    assert BudgetUse.objects.get(grant=grant, key="2.0").used <= 1000


def test_a_client_that_leaves_in_the_middle_has_used_what_it_got(place, grant):
    place.values(grant)
    got = 0
    for _ in range(6):
        with logged_in(place, grant) as line:
            line.sock.sendall(wire.message(b"Q", wire.string(MANY % 300)))
            # The description and some of the rows, or all that is left.
            kinds = itertools.takewhile(lambda kind: kind != b"Z", (line.next()[0] for _ in range(200)))
            got += list(kinds).count(b"D")
    eventually(lambda: not grant.sessions.filter(closed_at=None).exists(), within=20)
    assert 199 * 3 <= got <= BudgetUse.objects.get(grant=grant, key="2.0").used <= 1000


@pytest.mark.parametrize("prepare", [False, True])
def test_a_delegated_statement_with_a_secret_value_uses_the_budget_of_the_grant_above(place, grant, prepare):
    token = "UPDATE app.orders SET note = %s WHERE id = %s"
    below = place.delegated(grant)
    with place.connect(below) as client, place.connect(grant) as above:
        client.execute(token, ["o'pened", 3], prepare=prepare)
        assert above.execute(token, ["secret", 1], prepare=prepare).rowcount == 1
        with pytest.raises(errors.InsufficientPrivilege, match=rf"id 2 {BEYOND} \(4 of 5 used\)"):
            client.execute(token, ["hidden", 2], prepare=prepare)
    assert (says(grant)[-2:], says(below)[-2:]) == (
        ["2 of 3 calls used", "id: 4 of 5 used"],
        ["1 of 3 calls used", "id: 3 of 5 used"],
    )
    assert place.shop.one("SELECT note FROM app.orders WHERE id = 3") == "o'pened"
    lines = " ".join(below.runs.values_list("line", flat=True))
    assert "sha256" in lines
    assert "pened" not in lines


def test_a_cursor_and_a_row_limit_are_refused_because_rows_are_counted(place, grant):
    with place.connect(grant, autocommit=False) as client:
        with pytest.raises(errors.InsufficientPrivilege, match="the rows of a cursor can't be counted"):
            client.execute("DECLARE c CURSOR FOR SELECT id FROM app.many")
