"""The linter says what a set of privileges allows beyond what it seems to."""

import pytest

from sessions_app.policy.commands.kinds import lint
from tests.sessions_app.policy.commands.postgres.test_decide import document


def codes(set_) -> set[tuple[str, str]]:
    return {(found.severity, found.code) for found in lint(set_) if found.code != "no_examples"}


FOUND = [
    ("ROLE postgres", "change", "error", "role"),
    ("ROLE rds_superuser", "change", "error", "role"),
    ("ROLE pg_write_all_data", "change", "error", "role"),
    ("ROLE pg_execute_server_program", "change", "error", "role"),
    ("ROLE pg_write_server_files", "change", "error", "role"),
    ("ROLE pg_read_server_files", "change", "error", "role"),
    ("ROLE pg_signal_backend", "change", "error", "role"),
    ("ROLE pg_some_role_of_the_future", "change", "error", "role"),
    ("ROLE stint_broker", "change", "error", "role"),
    ("ROLE pg_read_all_data", "read", "warning", "wide_role"),
    ("EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)", "change", "error", "system"),
    ("SELECT ON pg_catalog.pg_authid", "read", "error", "system"),
    ("EXECUTE ON FUNCTION cron.schedule(text, text)", "change", "error", "scheduler"),
    ("SELECT ON cron.job", "read", "error", "scheduler"),
    ("UPDATE ON app.orders", "read", "error", "effect"),
    ("TRUNCATE ON app.orders", "change", "error", "effect"),
    ("DELETE ON app.orders", "change", "warning", "effect"),
    ("EXECUTE ON FUNCTION app.close(int)", "read", "warning", "effect"),
    ("SELECT (password_hash) ON app.users", "read", "warning", "secret"),
    ("SELECT ON app.оrders", "read", "warning", "look_alike"),
]


@pytest.mark.parametrize(("grant", "effect", "severity", "code"), FOUND)
def test_what_is_more_than_it_seems_is_found(grant, effect, severity, code):
    assert codes(document(grant, effect=effect)) == {(severity, code)}


@pytest.mark.parametrize(
    "grant",
    ["SELECT ON app.orders", "ROLE reporting_reader", "ROLE pg_monitor", "USAGE ON SEQUENCE app.numbers"],
)
def test_what_is_as_it_seems_is_let_alone(grant):
    assert codes(document(grant, effect="read")) == set()


def test_names_that_are_left_to_whoever_asks_are_found():
    any_name = {"x": {"name": 63}}
    assert ("error", "free_role") in codes(document("ROLE {x}", parameters=any_name))
    assert ("error", "free_schema") in codes(document("SELECT ON {x}.orders", parameters=any_name))
    assert ("warning", "free_name") in codes(document("SELECT ON app.{x}", parameters=any_name))
    assert codes(document("SELECT ON app.{x}", parameters={"x": {"choice": ["orders"]}})) == set()
    assert ("error", "role") in codes(
        document("ROLE {x}", parameters={"x": {"choice": ["postgres", "reporting"]}})
    )
    assert ("error", "system") in codes(
        document("SELECT ON {x}.y", parameters={"x": {"choice": ["pg_catalog", "app"]}})
    )


def test_what_is_granted_twice_is_found():
    assert codes(document("SELECT ON app.orders", "SELECT (id) ON app.orders")) == {("warning", "overlap")}
    assert codes(document("SELECT (id) ON app.orders", "SELECT (note) ON app.orders")) == set()
