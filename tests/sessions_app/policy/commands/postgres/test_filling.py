"""Forms of statements: what they compose is decided like a typed statement, and values remain values."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.kinds import decide, describe, forms_of
from sessions_app.policy.commands.postgres.filling import line_of, lines_for
from sessions_app.policy.commands.postgres.selecting import DIRECTIONS, OPERATORS
from sessions_app.policy.commands.postgres.sql.parsing import parse
from tests.sessions_app.policy.commands.postgres.statement_sets import EVERY, SELECT, compiled
from tests.support.breadth import examples

FREE = {
    "select": {"tables": ["app.orders"], "columns": ["id", '"odd ""name"'], "where": "optional"},
    "effect": "read",
}
SECRET = {
    "sql": "UPDATE app.users SET token = {token} WHERE id = {id}",
    "where": {"token": {"pattern": "[a-z']{4,20}"}, "id": {"int": [1, 9]}},
    "secret": ["token"],
    "effect": "change",
}
HIDING, EITHER = compiled(SECRET), (compiled(SELECT), compiled(FREE))
CHOSEN = {"table": "app.orders", "column.0": "on", "column.1": "on", "limit": "10"}
WHERE = {"where.0.column": "0", "where.0.operator": "=", "where.0.value": "7"}
HOSTILE = (
    "'",
    "''",
    "\\",
    "\\'",
    "'; DROP TABLE app.orders --",
    "$1",
    "$$",
    "E'",
    '"',
    "ä",
    "{id}",
    "%",
    "\0",
    "\n",
)


def test_every_command_of_a_set_has_a_form():
    made = compiled(*EVERY)
    assert forms_of(made).fillable(made) == frozenset(range(len(EVERY)))


def test_a_form_can_choose_what_the_rule_lists():
    choices = describe(compiled(SELECT))[0].readable
    assert choices.tables == (("app.orders", ("id", "status", "total")), ("app.customers", ("id", "name")))
    assert (choices.where_required, choices.limit) == (True, 100)
    assert describe(compiled(SECRET))[0].readable is None


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, "SELECT id, status FROM app.orders WHERE id = '7' LIMIT 10"),
        ({"column.0": ""}, "SELECT status FROM app.orders WHERE id = '7' LIMIT 10"),
        ({"column.3": "on"}, "SELECT id, status FROM app.orders WHERE id = '7' LIMIT 10"),
        (
            {"table": "app.customers", "column.4": "on", "where.0.column": "4"},
            "SELECT name FROM app.customers WHERE name = '7' LIMIT 10",
        ),
        (
            {"where.0.operator": "IN", "where.0.value": "1, 2 ,o'p"},
            "SELECT id, status FROM app.orders WHERE id IN ('1', '2', 'o''p') LIMIT 10",
        ),
        (
            {"where.2.column": "1", "where.2.operator": "IS NULL"},
            "SELECT id, status FROM app.orders WHERE id = '7' AND status IS NULL LIMIT 10",
        ),
        (
            {"order.column": "2", "order.direction": "DESC"},
            "SELECT id, status FROM app.orders WHERE id = '7' ORDER BY total DESC LIMIT 10",
        ),
    ],
)
def test_a_form_composes_one_select(changed, line):
    found = lines_for(compiled(SELECT), 0, {**CHOSEN, **WHERE, **changed})
    assert isinstance(found, Allowed), found
    assert found.line == line


def test_without_limits_in_the_rule_the_form_needs_neither_condition_nor_limit():
    found = lines_for(compiled(FREE), 0, {"column.1": "on"})
    assert isinstance(found, Allowed), found
    assert found.line == 'SELECT "odd ""name" FROM app.orders'


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"table": ""}, "table"),
        ({"table": "app.users"}, "table"),
        ({"column.0": "", "column.1": ""}, "column"),
        ({"table": "app.customers"}, "column"),
        ({"where.0.column": ""}, "where.0.column"),
        ({"where.0.column": "", "where.0.value": ""}, "where.0.column"),
        ({"where.0.column": "3"}, "where.0.column"),
        ({"where.0.column": "99"}, "where.0.column"),
        ({"where.0.column": "²"}, "where.0.column"),
        ({"where.0.operator": "= 1 OR 1 ="}, "where.0.operator"),
        ({"where.0.value": ""}, "where.0.value"),
        ({"where.0.value": "a\0b"}, "where.0.value"),
        ({"where.0.value": "a\u200bb"}, "where.0.value"),
        ({"where.0.operator": "IN", "where.0.value": "1,,2"}, "where.0.value"),
        ({"where.1.column": "0", "where.1.operator": "IS NULL", "where.1.value": "7"}, "where.1.value"),
        ({"where.0.operator": "<>"}, "where.0.column"),
        ({"order.column": "4"}, "order.column"),
        ({"order.column": "0", "order.direction": "ASC, 1"}, "order.direction"),
        ({"limit": ""}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1e1"}, "limit"),
        ({"where.7.value": "x"}, "table"),
    ],
)
def test_a_refusal_names_its_field(changed, field):
    found = lines_for(compiled(SELECT), 0, {**CHOSEN, **WHERE, **changed})
    assert isinstance(found, Refused), found
    assert found.value == field


def fields():
    """Fields of forms for either rule, as a hostile client may send them."""
    text = st.one_of(
        st.sampled_from(HOSTILE), st.text(max_size=12), st.lists(st.sampled_from(HOSTILE)).map("".join)
    )
    number = st.one_of(st.sampled_from(["", "0", "1", "2", "3", "4"]), text)
    one = {
        "table": st.one_of(st.sampled_from(["app.orders", "app.customers"]), text),
        "limit": st.one_of(st.sampled_from(["", "1", "100"]), text),
        "order.column": number,
        "order.direction": st.one_of(st.sampled_from(DIRECTIONS), text),
    }
    one |= {f"column.{at}": st.sampled_from(["", "on"]) for at in range(5)}
    for at in range(3):
        one |= {f"where.{at}.column": number, f"where.{at}.value": text}
        one[f"where.{at}.operator"] = st.one_of(st.sampled_from(OPERATORS), text)
    return st.fixed_dictionaries({}, optional=one)


@settings(max_examples=examples(200))
@given(fields(), st.sampled_from(EITHER))
def test_what_a_form_composes_is_allowed_by_the_decision_or_refused_at_a_field(values, made):
    found, line = lines_for(made, 0, values), line_of(made, 0, values)
    if isinstance(found, Refused):
        assert found.value in {*values, "table", "column", "limit", "where.0.column", "where.0.value"} | {
            f"where.{at}.{part}" for at in range(3) for part in ("column", "operator", "value")
        }
        assert line is None or isinstance(decide(made, line), Refused)
        return
    assert decide(made, line) == found == decide(made, found.line)


@given(st.lists(st.sampled_from([*HOSTILE, "a", " ", ","])).map("".join), st.sampled_from(OPERATORS[:-1]))
def test_a_value_of_a_condition_is_one_constant_whatever_it_contains(value, operator):
    said = {"column.0": "on", "where.0.column": "0", "where.0.operator": operator, "where.0.value": value}
    found = lines_for(EITHER[1], 0, said)
    assume(isinstance(found, Allowed))
    (statement,) = parse(found.line)
    right = statement.stmt.select_stmt.where_clause.a_expr.rexpr
    parts = [one.a_const.sval.sval for one in right.list.items] or [right.a_const.sval.sval]
    assert parts == ([part.strip() for part in value.split(",")] if operator == "IN" else [value])


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30)))
def test_no_decision_on_a_form_shows_a_secret(value):
    found = lines_for(HIDING, 0, {"token": value, "id": "7"})
    if isinstance(found, Refused):
        assert (found.reason, found.value) == (lines_for(HIDING, 0, {"token": "", "id": "7"}).reason, "token")
    else:
        assert found.line == "UPDATE app.users SET token = [secret] WHERE id = 7"
        assert found.matched == {"id": "7"}


def test_the_line_of_a_secret_value_is_allowed_whenever_its_decision_is():
    values = {"token": "o'pen", "id": "07"}
    assert isinstance(lines_for(compiled(SECRET), 0, values), Allowed)
    line = line_of(compiled(SECRET), 0, values)
    assert line == "UPDATE app.users SET token = 'o''pen' WHERE id = 7"
    assert isinstance(decide(compiled(SECRET), line), Allowed)


def test_the_recorded_form_of_a_line_has_digests_whether_or_not_it_is_allowed():
    made = compiled(SECRET)
    recorded = forms_of(made).recorded
    allowed = recorded(made, "UPDATE users SET token='o''pen' WHERE id = 7", lambda _: b"\1" * 32)
    assert allowed == f"UPDATE app.users SET token = [secret, sha256:{'01' * 16}] WHERE id = 7"
    refused = recorded(made, "UPDATE app.users SET token = 'OPEN' WHERE id = 7", lambda _: b"\1" * 32)
    assert refused.count("[secret, sha256:") == 2
    assert "OPEN" not in refused
