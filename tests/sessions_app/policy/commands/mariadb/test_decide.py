"""Which privileges on MariaDB a set allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, CompileError, Refused
from sessions_app.policy.commands.kinds import compile_open, compile_set, decide, lint, parse_document
from sessions_app.policy.commands.mariadb.lines import parse_line
from sessions_app.policy.commands.privileges.reading import LineRefused
from sessions_app.policy.documents import DocumentError


def document(*grants: str, effect: str = "change", **more):
    made = [{"grant": one, "effect": effect} for one in grants]
    return parse_document(
        {"name": "a-set", "kind": "mariadb", "summary": "s", "risk": "low", "commands": made, **more}
    )


def allows(line: str, *grants: str) -> bool:
    return isinstance(decide(compile_set(document(*grants), {}), line), Allowed)


@pytest.mark.parametrize(
    ("line", "canonical"),
    [
        ("select on shop.orders", "SELECT ON shop.orders"),
        ("UPDATE (Status, `status`) ON TABLE shop.orders", "UPDATE (status) ON shop.orders"),
        ("EXECUTE ON PROCEDURE shop.TIDY", "EXECUTE ON PROCEDURE shop.tidy"),
        ("SELECT ON `shop`.`a``b; c`", "SELECT ON shop.`a``b; c`"),
    ],
)
def test_lines_have_one_spelling(line, canonical):
    assert ", ".join(map(str, parse_line(line))) == canonical


@pytest.mark.parametrize(
    "line",
    [
        "SELECT ON orders",
        "SELECT ON shop.*",
        "SELECT ON *.*",
        "ALL ON shop.orders",
        "DROP ON shop.orders",
        "ROLE reader",
        "GRANT SELECT ON shop.orders TO x",
        "SELECT ON shop.orders TO x",
        "SELECT ON shop.orders WITH GRANT OPTION",
        "SELECT ON shop.orders, shop.invoices",
        "SELECT (id) ON FUNCTION shop.total",
        "EXECUTE ON shop.orders",
        "SELECT ON shop.orders; DROP TABLE shop.orders",
        'SELECT ON "shop"."orders"',
        "SELECT ON shop.`orders ` -- x",
        "",
    ],
)
def test_everything_else_is_refused(line):
    with pytest.raises(LineRefused):
        parse_line(line)


def test_a_table_covers_its_columns_but_not_the_reverse():
    assert allows("SELECT (id) ON shop.orders", "SELECT ON shop.orders")
    assert not allows("SELECT ON shop.orders", "SELECT (id) ON shop.orders")


def test_table_names_are_compared_exactly_and_columns_in_lowercase():
    assert not allows("SELECT ON shop.Orders", "SELECT ON shop.orders")
    assert allows("SELECT (ID) ON shop.orders", "SELECT (id) ON shop.orders")


@pytest.mark.parametrize("schema", ["mysql", "MySQL", "sys", "stint", "performance_schema"])
def test_no_grant_includes_a_system_schema(schema):
    fixed = document(f"SELECT ON {schema}.x")
    assert "system" in {one.code for one in lint(fixed) if one.severity == "error"}
    assert isinstance(decide(compile_set(fixed, {}), f"SELECT ON {schema}.x"), Refused)
    bound = document("SELECT ON {db}.x", parameters={"db": {"name": 20}})
    with pytest.raises(CompileError, match="system schema"):
        compile_set(bound, {"db": schema})


def test_a_routine_is_accepted_only_with_a_reason():
    assert "definer" in {one.code for one in lint(document("EXECUTE ON FUNCTION shop.total"))}


def test_a_value_is_one_whole_name():
    bound = document("SELECT ON shop.{table}", parameters={"table": {"pattern": ".*"}})
    compiled = compile_set(bound, {"table": "a`; DROP TABLE b"})
    assert [one.plain_names for one in compiled.privileges()] == [("shop", "a`; DROP TABLE b")]
    with pytest.raises(CompileError):
        compile_set(bound, {"table": "a.b"})


def test_free_values_must_be_listed():
    with pytest.raises(DocumentError, match="MariaDB needs every name in advance"):
        parse_document(
            {
                "name": "a-set",
                "kind": "mariadb",
                "summary": "s",
                "risk": "low",
                "commands": [{"grant": "SELECT ON shop.{t}", "effect": "read", "where": {"t": {"name": 9}}}],
            }
        )


@given(st.text(alphabet="aB.`,() *ON;SELECT'\"\\{}x", max_size=40))
def test_what_is_parsed_is_parsed_the_same_from_its_canonical_line(line):
    try:
        parsed = parse_line(f"SELECT {line}")
    except LineRefused:
        return
    for one in parsed:
        assert parse_line(str(one)) == (one,)


def test_the_open_set_allows_whatever_a_grant_could():
    open_set = compile_open(document("SELECT ON shop.{table}", parameters={"table": {"choice": ["a", "b"]}}))
    assert isinstance(decide(open_set, "SELECT ON shop.a"), Allowed)
    assert isinstance(decide(open_set, "SELECT ON shop.c"), Refused)
