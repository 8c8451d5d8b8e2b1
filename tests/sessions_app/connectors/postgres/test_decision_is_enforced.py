"""What the tester says of a line is what the real server says of the grant's role."""

from dataclasses import replace

import psycopg
import pytest
from hypothesis import given as given_
from hypothesis import settings
from hypothesis import strategies as st

from sessions_app.connectors.postgres.names import role_names
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import decide
from sessions_app.policy.commands.postgres.privileges import quoted
from tests.sessions_app.policy.commands.postgres.statement_sets import compiled
from tests.support.breadth import examples
from tests.support.servers.postgres_shop import Given

TABLES = ["orders", "invoices", "Weird; DROP TABLE x"]
COLUMNS = ["id", "status", 'Odd "Name']
FUNCTIONS = ["close(int)", 'close(int, text[], app.mood, timestamptz, "char")', "tidy()"]

# Each is a line, and the question of the server that it has to agree with.
TABLE_LINES = [
    (
        f"{word} ON app.{quoted(table)}",
        "has_table_privilege({role}, {0}, {1})",
        (f"app.{quoted(table)}", word),
    )
    for word in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
    for table in TABLES
]
COLUMN_LINES = [
    (
        f"{word} ({quoted(column)}) ON app.{table}",
        "has_column_privilege({role}, {0}, {1}, {2})",
        (f"app.{table}", column, word),
    )
    for word in ("SELECT", "INSERT", "UPDATE")
    for table in TABLES[:2]
    for column in COLUMNS
]
FUNCTION_LINES = [
    (
        f"EXECUTE ON {word} app.{function}",
        "has_function_privilege({role}, {0}, 'EXECUTE')",
        (f"app.{function}",),
    )
    for function in FUNCTIONS
    for word in ("FUNCTION", "ROUTINE")
]
OTHER_LINES = [
    *(
        (f"{word} ON SEQUENCE app.numbers", "has_sequence_privilege({role}, 'app.numbers', {0})", (word,))
        for word in ("USAGE", "SELECT", "UPDATE")
    ),
    ("USAGE ON SCHEMA app", "has_schema_privilege({role}, 'app', 'USAGE')", ()),
    ("ROLE reporting_reader", "pg_has_role({role}, 'reporting_reader', 'USAGE')", ()),
    ("ROLE pg_write_all_data", "pg_has_role({role}, 'pg_write_all_data', 'USAGE')", ()),
    ("ROLE stint_broker", "pg_has_role({role}, 'stint_broker', 'USAGE')", ()),
]
LINES = [*TABLE_LINES, *COLUMN_LINES, *FUNCTION_LINES, *OTHER_LINES]
GRANTABLE = [line for line, _, _ in LINES if line not in {"ROLE pg_write_all_data", "ROLE stint_broker"}]


def ask(admin, role: str, question: str, values) -> bool:
    places = {str(number): "%s" for number in range(len(values))}
    text = question.replace("{role}", "%s")
    for number in places:
        text = text.replace("{" + number + "}", "%s")
    return admin.execute(f"SELECT {text}", (role, *values)).fetchone()[0]


def test_what_is_decided_is_what_the_server_lets_the_role_do(shop):
    @settings(max_examples=examples(25))
    @given_(st.lists(st.sampled_from(GRANTABLE), min_size=1, max_size=6, unique=True))
    def agrees(lines):
        spec = shop.spec(*lines)
        lease = shop.connector.provision(spec)
        role = role_names(spec.mark).login
        with shop.server.admin("shop") as admin:
            for line, question, values in LINES:
                decided = isinstance(decide(spec.commands, line), Allowed)
                assert ask(admin, role, question, values) == decided, (lines, line)
        assert shop.connector.revoke(lease).gone

    agrees()


def test_lines_together_are_allowed_when_the_server_allows_each(shop):
    spec = shop.spec("SELECT, UPDATE (status) ON app.orders", "INSERT (id, status) ON app.orders")
    shop.connector.provision(spec)
    assert isinstance(
        decide(spec.commands, "SELECT (id), UPDATE (status), INSERT (id) ON app.orders"), Allowed
    )
    refused = decide(spec.commands, "SELECT, UPDATE (id) ON app.orders")
    assert not isinstance(refused, Allowed)
    role = role_names(spec.mark).login
    assert shop.one("SELECT has_column_privilege(%s, 'app.orders', 'id', 'UPDATE')", role) is False


def test_a_role_for_statements_can_run_what_they_need_and_nothing_else(shop):
    rules = (
        {
            "sql": "UPDATE app.orders SET status = {status} WHERE id = {id}",
            "where": {"status": {"choice": ["paid"]}, "id": {"int": [1, 9]}},
        },
        {"call": "app.close({id})", "where": {"id": {"int": [1, 9]}}},
    )
    spec = replace(shop.spec(), commands=compiled(*rules, values={}))
    lease = shop.connector.provision(spec)
    given = Given(shop, spec, lease, shop.connector.issue(spec, lease))
    for line in ("UPDATE orders SET status = 'paid' WHERE id = 1", "SELECT close(1)"):
        given.run(decide(spec.commands, line).line)
    for statement in (
        "UPDATE app.orders SET note = 'x' WHERE id = 1",
        "SELECT note FROM app.orders",
        "DELETE FROM app.orders WHERE id = 1",
        "SELECT id FROM app.invoices",
        "CALL app.tidy()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            given.run(statement)
    assert given.revoke().gone
