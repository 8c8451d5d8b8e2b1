"""Rules of statements: what a document may contain, and what the linter has to say of it."""

import pytest

from sessions_app.policy.commands.diff import diff_documents
from sessions_app.policy.commands.kinds import compile_open, lint, parse_document
from sessions_app.policy.documents import DocumentError
from tests.sessions_app.policy.commands.postgres.statement_sets import (
    CALL,
    DELETE,
    EVERY,
    INSERT,
    SELECT,
    UPDATE,
    statements,
)

ID = {"id": {"int": [1, 9]}}


def sql(text: str, **more):
    return {"sql": text, "where": ID if "{id}" in text else {}, **more}


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (sql("UPDATE app.orders SET status = '{id}' WHERE id = 7"), "a parameter can't be inside quotes"),
        (sql("UPDATE app.orders SET status = 'x' WHERE id = $1"), "write {name} instead of $1"),
        (sql("SELECT {id}x FROM app.orders"), "write a space after {id}"),
        (sql("SELECT id FROM app.{id}"), "{id} must replace a value"),
        (sql("SELECT 1; SELECT 2"), "exactly one statement"),
        (sql("SELECT id FROM app.orders WHERE id = {id} FOR UPDATE"), "locking rows"),
        (sql("WITH x AS (SELECT 1) SELECT id FROM app.orders"), "WITH is not allowed"),
        (sql("TRUNCATE app.orders"), "only SELECT, INSERT, UPDATE, DELETE and CALL"),
        (sql("SELECT app.refund({id})"), "use `call` for a routine"),
        (sql("SELECT FROM WHERE 1"), "can't be parsed"),
        (sql("SELECT count(*) FROM app.orders"), "name a column of app.orders"),
        ({"call": "SELECT id FROM app.orders"}, "write one routine"),
        ({"call": "app.refund(NULL)"}, "write the type of NULL"),
        ({"select": SELECT["select"] | {"columns": ["id"]}}, "write `id` with one of the tables"),
        ({"select": SELECT["select"] | {"columns": ["cards.id"]}}, "with one of the tables"),
        ({"select": SELECT["select"] | {"tables": ["app.orders; SELECT 1"]}}, "exactly one statement"),
        ({"select": {"tables": ["app.a"], "columns": ["ctid"]}}, "system column"),
        ({"select": {"tables": ["app.a"], "columns": ["count(*)"]}}, "not the name of a column"),
        ({"grant": "SELECT ON app.orders"}, "can't be in one set with statements"),
        ({"grant": "SELECT ON app.orders", "sql": "SELECT 1"}, "exactly one of grant, sql, select and call"),
        ({"hold": True}, "exactly one of grant, sql, select and call"),
        (CALL | {"max_rows": 1}, "max_rows"),
        (UPDATE | {"explain": True}, "needs `hold: true` on an INSERT, UPDATE or DELETE"),
    ],
)
def test_a_rule_that_is_not_clear_is_refused_with_the_reason(rule, says):
    with pytest.raises(DocumentError, match=".") as found:
        statements(UPDATE, rule)
    assert says in str(found.value)


def test_without_a_schema_each_name_of_a_rule_needs_one():
    with pytest.raises(DocumentError, match="write `orders` with its schema"):
        statements(sql("SELECT id FROM orders WHERE id = {id}"), schema=None)


def test_functions_of_postgresql_need_no_schema_where_the_set_names_none():
    assert compile_open(statements(sql("SELECT version()"), schema=None)).commands[0].text == (
        "SELECT pg_catalog.version()"
    )


def test_a_set_of_privileges_is_as_before():
    about = {"name": "a", "kind": "postgres", "summary": "s", "risk": "low"}
    grants = parse_document({**about, "commands": [{"grant": "SELECT ON app.orders", "effect": "read"}]})
    assert not grants.statements
    assert not compile_open(grants).statements
    assert statements(UPDATE).statements
    assert compile_open(statements(UPDATE)).statements


def test_what_differs_between_versions_is_said_by_command():
    said = {one.message for one in diff_documents(statements(UPDATE), statements(UPDATE | {"max_rows": 5}))}
    assert said == {f"max_rows of command {UPDATE['sql']} is now 5, was 1"}
    assert diff_documents(statements(UPDATE), statements(UPDATE, schema="other"))


def codes(*rules) -> set[tuple[str, str]]:
    return {(one.severity, one.code) for one in lint(statements(*rules)) if one.code != "no_examples"}


def test_narrow_statements_have_no_findings():
    assert codes(*EVERY) == set()
    assert codes(INSERT, DELETE) == set()


ANY = {"x": {"pattern": ".*"}}


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        (sql("UPDATE app.orders SET status = 'x'"), ("error", "no_where")),
        (sql("DELETE FROM app.orders", effect="destructive"), ("error", "no_where")),
        (sql("SELECT id FROM app.orders", effect="read"), ("warning", "no_where")),
        (sql("UPDATE app.orders SET status = 'x' WHERE id <> {id}"), ("warning", "no_where")),
        ({"select": {"tables": ["app.a"], "columns": ["id"]}, "effect": "read"}, ("warning", "no_where")),
        (sql("SELECT * FROM app.orders WHERE id = {id}", effect="read"), ("warning", "every_column")),
        (sql("UPDATE app.o SET a = 'x' WHERE id = {id} RETURNING *"), ("warning", "every_column")),
        (sql("SELECT rolname FROM pg_catalog.pg_authid WHERE oid = {id}"), ("error", "system")),
        ({"call": "cron.schedule('x')"}, ("error", "scheduler")),
        (sql("SELECT password FROM app.users WHERE id = {id}", effect="read"), ("warning", "secret")),
        (sql("SELECT nextval('app.s') FROM app.o WHERE id = {id}"), ("error", "volatile")),
        (sql("UPDATE app.o SET a = random() WHERE id = {id}"), ("warning", "volatile")),
        (sql("UPDATE app.o SET a = similarity('a', 'b') WHERE id = {id}"), ("warning", "unknown_function")),
        (sql("UPDATE app.o SET a = 'x' WHERE b = {x}") | {"where": ANY}, ("error", "broad_pattern")),
        (sql("UPDATE app.o SET a = {x} WHERE b = 1") | {"where": ANY}, ("warning", "free_text")),
        (
            sql("UPDATE app.o SET a = 'x' WHERE b LIKE {x}") | {"where": {"x": {"pattern": "[a-z%]{1,9}"}}},
            ("warning", "wildcard_value"),
        ),
        (sql("UPDATE app.o SET a = 'x' WHERE b = {id}::varchar(2)"), ("warning", "cast")),
        (sql("UPDATE app.o SET a = 'x' WHERE b = {id}::text::int"), ("warning", "cast")),
        (UPDATE | {"effect": "read"}, ("error", "effect")),
        (DELETE | {"effect": "change"}, ("warning", "effect")),
        (CALL | {"effect": "read"}, ("warning", "effect")),
        (CALL | {"hold": True}, ("warning", "held_call")),
    ],
)
def test_the_linter_says_what_a_rule_allows_beyond_what_is_obvious(rule, finding):
    assert finding in codes(rule)


def test_statements_that_two_rules_match_are_found():
    other = UPDATE | {"sql": "UPDATE app.orders SET status = 'paid' WHERE id = {id}", "where": ID}
    assert codes(UPDATE, other) == {("warning", "overlap")}
    apart = UPDATE | {"sql": "UPDATE app.orders SET status = 'gone' WHERE id = {id}", "where": ID}
    assert codes(UPDATE, apart) == set()
    read = sql("SELECT id FROM app.orders WHERE id = {id} LIMIT 1", effect="read")
    assert codes(SELECT, read) == {("warning", "overlap")}
