"""Budgets in documents: what they can say, how they read, and when one is within another."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.budgets import (
    STRICTNESS,
    AmountRefused,
    Budget,
    amount_of,
    looser,
    say_budgets,
)
from sessions_app.policy.commands.diff import diff_documents
from sessions_app.policy.commands.document import digest
from sessions_app.policy.commands.kinds import (
    compile_open,
    compile_set,
    covers,
    decide,
    describe,
    lint,
    parse_document,
)
from sessions_app.policy.documents import DocumentError

REFUND: dict[str, Any] = {
    "tool": "refund",
    "arguments": {
        "id": {"name": 9},
        "amount": {"schema": {"type": "number", "minimum": 0}},
        "by.cents": {"int": [0, 99]},
        "free": {"schema": {"type": "number"}},
        "left": {"int": [0, 9]},
        "text": {"pattern": ".*"},
        "digits": {"pattern": "[0-9]{1,3}"},
    },
    "optional": ["left", "by.cents", "free", "text", "digits"],
    "effect": "change",
}
PAY: dict[str, Any] = {
    "request": "POST /pay/{fee}",
    "where": {"fee": {"int": [0, 9]}},
    "query": {"tip": {"choice": ["0", "1.50"]}},
    "body": {"amount": {"int": [0, 500]}},
    "effect": "change",
}
FIX: dict[str, Any] = {
    "sql": "UPDATE app.orders SET total = {total} WHERE id = {id}",
    "where": {"id": {"int": [-5, 9]}, "total": {"pattern": "[0-9]{1,4}(\\.[0-9]{1,2})?"}},
    "effect": "change",
}
RULES = {"mcp": REFUND, "http": PAY, "postgres": FIX}


def document(kind: str, *budget: dict[str, Any], shared: tuple[dict[str, Any], ...] = ()) -> Any:
    rule = {**RULES[kind], "budget": list(budget)}
    if kind == "mcp":
        # Only a value that is counted has to be given.
        counted = {one.get("sum") for one in budget}
        rule["optional"] = [name for name in rule["optional"] if name == "left" or name not in counted]
    data = {"name": "a-set", "kind": kind, "summary": "For a test", "risk": "low", "commands": [rule]}
    return parse_document({**data, "budget": list(shared)})


def decided(kind: str, line: str, *budget: dict[str, Any]) -> Allowed | Refused:
    return decide(compile_open(document(kind, *budget)), line)


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"calls": 0},
        {"calls": 1, "rows": 1},
        {"calls": "20"},
        {"sum": "amount"},
        {"calls": 1, "most": 2},
        {"sum": "amount", "most": -1},
        {"sum": "amount", "most": "1e9"},
        {"sum": "amount", "most": True},
        {"bytes": "10"},
        {"calls": 1, "per": "day"},
        {"calls": 1, "then": "cut"},
    ],
    ids=str,
)
def test_a_budget_has_one_measure_with_a_limit(written):
    with pytest.raises(ValidationError):
        Budget.model_validate(written)


@pytest.mark.parametrize(
    ("kind", "budget", "fault"),
    [
        ("mcp", {"sum": "free", "most": 1}, "can be negative: set minimum: 0"),
        ("mcp", {"sum": "id", "most": 1}, "is not a number"),
        ("mcp", {"sum": "text", "most": 1}, "can be other text than a number"),
        ("mcp", {"sum": "left", "most": 1}, "can't be optional"),
        ("mcp", {"sum": "price", "most": 1}, "is not one of the arguments"),
        ("mcp", {"rows": 1}, "rows can't be counted for these commands"),
        ("http", {"sum": "price", "most": 1}, "is not in query, body or form"),
        ("postgres", {"sum": "id", "most": 1}, "can be negative"),
        ("postgres", {"sum": "price", "most": 1}, "is not a parameter of this command"),
    ],
)
def test_what_can_not_be_counted_is_refused_in_the_document(kind, budget, fault):
    with pytest.raises(DocumentError, match=fault):
        document(kind, budget)


def test_a_sum_of_all_commands_and_a_budget_of_privileges_are_refused():
    with pytest.raises(DocumentError, match="a sum belongs to one command"):
        document("mcp", shared=({"sum": "amount", "most": 1},))
    rule = {"grant": "SELECT ON app.orders", "effect": "read"}
    data = {"name": "a-set", "kind": "postgres", "summary": "x", "risk": "low", "commands": [rule]}
    with pytest.raises(DocumentError, match="uses of privileges can't be counted"):
        parse_document({**data, "budget": [{"calls": 1}]})


def test_files_that_might_have_to_wait_and_messages_that_are_not_counted_are_refused():
    upload = {"request": "PUT /a", "upload": {"max": "1MB", "types": ["image/png"]}, "effect": "change"}
    socket = {"request": "GET /a", "websocket": True, "effect": "change"}
    for rule, budget, fault in (
        (upload, {"calls": 1}, "can't wait for an approval"),
        (socket, {"bytes": "1MB"}, "messages of a WebSocket are not counted"),
    ):
        data = {"name": "a-set", "kind": "http", "summary": "x", "risk": "low", "commands": [rule]}
        with pytest.raises(DocumentError, match=fault):
            parse_document({**data, "budget": [budget]})


@pytest.mark.parametrize(
    ("kind", "line", "name", "amount"),
    [
        ("mcp", 'refund {"id": "a", "amount": 0.1}', "amount", "0.1"),
        ("mcp", 'refund {"id": "a", "amount": 1000000}', "amount", "1000000"),
        ("mcp", 'refund {"id": "a", "amount": 1, "by": {"cents": 7}}', "by.cents", "7"),
        ("mcp", 'refund {"id": "a", "amount": 1, "digits": "042"}', "digits", "42"),
        ("http", 'POST /pay/3?tip=1.50 {"amount": 12}', "amount", "12"),
        ("http", 'POST /pay/3?tip=1.50 {"amount": 12}', "tip", "1.50"),
        ("http", 'POST /pay/3?tip=0 {"amount": 12}', "fee", "3"),
        ("postgres", "UPDATE app.orders SET total = '12.50' WHERE id = 2", "total", "12.50"),
    ],
)
def test_the_amounts_of_a_run_are_exact(kind, line, name, amount):
    found = decided(kind, line, {"sum": name, "most": 10_000_000})
    assert isinstance(found, Allowed), found
    assert found.amounts == {name: Decimal(amount)}
    compiled = compile_open(document(kind, {"sum": name, "most": 10_000_000}))
    assert decide(compiled, found.line) == found


@pytest.mark.parametrize("amount", ["0.1234567", "1000000000000000"])
def test_an_amount_that_can_not_be_added_exactly_is_refused_at_the_call(amount):
    found = decided("mcp", f'refund {{"id": "a", "amount": {amount}}}', {"sum": "amount", "most": 9})
    assert isinstance(found, Refused)
    assert "amount must be a number from 0 up" in found.reason


NO_AMOUNTS = [-1, -0.5, -0.0, True, None, "", "-1", "1e3", "٣", "1,5", "NaN", [1], 1e308, math.nan, math.inf]


@pytest.mark.parametrize("value", NO_AMOUNTS)
def test_what_is_no_amount_is_refused(value):
    with pytest.raises(AmountRefused):
        amount_of(value)


def test_a_number_of_more_digits_than_python_writes_is_no_amount():
    with pytest.raises(AmountRefused):
        amount_of(10**5000)


@given(st.decimals(min_value=0, max_value=10**15 - 1, places=6))
def test_text_is_counted_to_the_last_digit(amount):
    assert amount_of(f"{amount:f}") == amount


@given(st.integers(0, 10**9), st.integers(0, 3))
def test_a_number_is_counted_as_it_was_written(digits, places):
    amount = Decimal(digits).scaleb(-places)
    assert amount_of(float(amount)) == amount


def test_a_bound_value_counts_each_time():
    data = {
        "name": "a-set",
        "kind": "mcp",
        "summary": "x",
        "risk": "low",
        "parameters": {"price": {"int": [0, 90]}},
        "commands": [
            {
                "tool": "buy",
                "arguments": {"price": "{price}"},
                "effect": "change",
                "budget": [{"sum": "price", "most": 5}],
            }
        ],
    }
    found = decide(compile_set(parse_document(data), {"price": "4"}), 'buy {"price": 4}')
    assert isinstance(found, Allowed)
    assert found.amounts == {"price": Decimal(4)}


def test_approvers_read_budgets_as_sentences():
    budget = (
        {"calls": 20},
        {"sum": "amount", "most": "1500.50", "per": "hour"},
        {"bytes": "10MB", "then": "end"},
    )
    (view,) = describe(compile_open(document("mcp", *budget, shared=({"calls": 1},))))
    assert view.detail[-3:] == (
        "at most 20 calls, amount at most 1,500.5 in total per hour; then each waits for approval",
        "results at most 10 MB in total; then the grant ends",
        "all commands together: at most 1 call; then each waits for approval",
    )
    assert list(say_budgets([Budget(rows=1, then="refuse")])) == ["at most 1 row in total; then refused"]


def test_a_budget_changes_the_digest_and_the_difference_says_it():
    old, new = document("mcp", {"calls": 20}), document("mcp", {"calls": 30, "then": "refuse"})
    assert digest(old) != digest(new)
    (change,) = diff_documents(old, new)
    assert (change.before, change.after) == (
        "at most 20 calls; then each waits for approval",
        "at most 30 calls; then refused",
    )
    assert change.message.startswith("budget of command refund is now at most 30 calls")


def test_a_set_whose_budget_holds_may_hold():
    assert document("mcp", {"calls": 1}).may_hold
    assert document("mcp", shared=({"calls": 1},)).may_hold
    assert not document("mcp", {"calls": 1, "then": "refuse"}).may_hold


def test_only_the_own_gateway_can_count_requests():
    line = 'POST /pay/3?tip=0 {"amount": 12}'
    for compiled in (
        compile_open(document("http", {"calls": 1})),
        compile_open(document("http", shared=({"calls": 1},))),
    ):
        assert "budget" in str(compiled.unenforced({"proxy": "nginx"}))
        assert compiled.unenforced({"proxy": "stint"}) is None
        assert isinstance(decide(compiled, line), Allowed)


def test_rows_of_a_cursor_can_not_be_counted():
    data = {
        "name": "a-set",
        "kind": "postgres",
        "summary": "x",
        "risk": "low",
        "budget": [{"rows": 10}],
        "commands": [{"select": {"tables": ["app.orders"], "columns": ["id"]}, "effect": "read"}],
    }
    compiled = compile_open(parse_document(data))
    assert isinstance(decide(compiled, "SELECT id FROM app.orders"), Allowed)
    found = decide(compiled, "DECLARE c CURSOR FOR SELECT id FROM app.orders")
    assert isinstance(found, Refused)
    assert "the rows of a cursor can't be counted" in found.reason


@pytest.mark.parametrize("kind", RULES)
def test_the_linter_asks_for_a_budget_of_free_amounts(kind):
    def codes(*budget):
        return {one.code for one in lint(document(kind, *budget))}

    assert "no_budget" in codes()
    assert "no_budget" not in codes({"calls": 1})


# Delegation

budgets = st.builds(
    lambda limit, per, then: {**limit, "per": per, "then": then},
    st.one_of(
        st.integers(1, 4).map(lambda count: {"calls": count}),
        st.integers(0, 4).map(lambda most: {"sum": "amount", "most": most}),
        st.integers(1, 4).map(lambda size: {"bytes": f"{size}KB"}),
    ),
    st.sampled_from(["grant", "hour"]),
    st.sampled_from(list(STRICTNESS)),
)


@given(st.lists(budgets, max_size=3), st.lists(budgets, max_size=3))
def test_a_covered_set_has_no_looser_budget(inner, outer):
    ours, theirs = document("mcp", *inner), document("mcp", *outer)
    covered = covers(compile_open(theirs), compile_open(ours)) is None
    assert covered == (looser(ours.commands[0].budget, theirs.commands[0].budget) is None)
    assume(covered)
    for budget in theirs.commands[0].budget:
        assert any(
            one.measure == budget.measure
            and one.limit <= budget.limit
            and STRICTNESS[one.then] >= STRICTNESS[budget.then]
            for one in ours.commands[0].budget
        )


@pytest.mark.parametrize("kind", RULES)
def test_a_part_without_the_budget_is_not_covered(kind):
    strict, free = compile_open(document(kind, {"calls": 2})), compile_open(document(kind))
    assert covers(free, strict) is None
    assert "would exceed the budget: at most 2 calls" in str(covers(strict, free))
    shared = compile_open(document(kind, shared=({"calls": 2},)))
    assert "would exceed the budget" in str(covers(shared, free))
