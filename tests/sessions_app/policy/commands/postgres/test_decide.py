"""Privileges: what a set grants, what it does not, and why."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, CompileError, Refused
from sessions_app.policy.commands.characters import hidden_at
from sessions_app.policy.commands.kinds import compile_open, compile_set, decide, describe, parse_document
from sessions_app.policy.commands.postgres.lines import parse_line
from sessions_app.policy.commands.postgres.privileges import ArgumentType, Privilege
from sessions_app.policy.documents import DocumentError


def document(*grants, parameters=None, where=None, effect="change"):
    return parse_document(
        {
            "name": "x",
            "kind": "postgres",
            "summary": "x",
            "risk": "low",
            "parameters": parameters or {},
            "commands": [
                {"grant": one, "effect": effect, **({"where": where} if where else {})}
                if isinstance(one, str)
                else one
                for one in grants
            ],
        }
    )


def compiled(*grants, **about):
    values = about.pop("values", {})
    return compile_set(document(*grants, **about), values)


READS = [
    ("select on app.orders", "SELECT ON app.orders"),
    ("SELECT ON TABLE App.Orders", "SELECT ON app.orders"),
    ('SELECT ON app."Orders"', 'SELECT ON app."Orders"'),
    ('SELECT ON "app"."orders"', "SELECT ON app.orders"),
    ('SELECT ON "a""b"."c.d"', 'SELECT ON "a""b"."c.d"'),
    ("UPDATE(status) ON app.orders", "UPDATE (status) ON app.orders"),
    (
        "EXECUTE ON PROCEDURE app.f(INT, character varying, timestamp with time zone, double precision[])",
        "EXECUTE ON FUNCTION app.f(integer, varchar, timestamptz, float8[])",
    ),
    (
        'EXECUTE ON FUNCTION app.f("char", char, app.mood)',
        'EXECUTE ON FUNCTION app.f("char", character, app.mood)',
    ),
    ("USAGE ON SCHEMA app", "USAGE ON SCHEMA app"),
    ("USAGE ON SEQUENCE app.s", "USAGE ON SEQUENCE app.s"),
    ("CONNECT ON DATABASE shop", "CONNECT ON DATABASE shop"),
    ("role Reporting", "ROLE reporting"),
]


@pytest.mark.parametrize(("line", "canonical"), READS)
def test_a_line_has_one_spelling(line, canonical):
    (one,) = parse_line(line)
    assert str(one) == canonical
    assert parse_line(canonical) == (one,)


REFUSED = [
    ("", "the line is empty"),
    ("SELECT", "`ON` is needed"),
    ("SELECT ON orders", "with its schema"),
    ("SELECT ON a.b.c", "has 2 parts"),
    ("ALL ON app.orders", "list them"),
    ("ALL PRIVILEGES ON app.orders", "list them"),
    ("SELECT ON ALL TABLES IN SCHEMA app", "template role"),
    ("SELECT ON app.a, app.b", "one object"),
    ("GRANT SELECT ON app.orders", "remove GRANT and TO"),
    ("SELECT ON app.orders TO PUBLIC", "never to PUBLIC"),
    ("SELECT ON app.orders WITH GRANT OPTION", "are not allowed"),
    ("ROLE PUBLIC", "not a role"),
    ('ROLE "public"', "not a role"),
    ("ROLE a WITH ADMIN OPTION", "are not allowed"),
    ("CREATE ON SCHEMA app", "outlive"),
    ("CREATE ON DATABASE shop", "outlive"),
    ("TRIGGER ON app.orders", "run code"),
    ("REFERENCES ON app.orders", "block"),
    ("TEMPORARY ON DATABASE shop", "PUBLIC has it"),
    ("MAINTAIN ON app.orders", "lock"),
    ("SET ON PARAMETER work_mem", "setting"),
    ("ALTER SYSTEM ON PARAMETER x", "whole server"),
    ("COPY app.orders TO PROGRAM 'id'", "not valid here"),
    ("COPY ON app.orders", "PROGRAM"),
    ("SUPERUSER", "no limits"),
    ("DELETE (id) ON app.orders", "can't be granted on a column"),
    ("USAGE (a) ON SEQUENCE app.s", "no columns"),
    ("EXECUTE ON FUNCTION app.f", "argument types"),
    ("EXECUTE ON FUNCTION app.f(a int)", "without their names"),
    ("EXECUTE ON FUNCTION app.f(int[)", "after `[`"),
    ("SELECT ON app.orders; DROP TABLE x", "not valid here"),
    ("SELECT ON app.orders -- x", "not valid here"),
    ("SELECT ON app./**/orders", "not valid here"),
    ("SELECT ON app.\u200borders", "invisible"),
    ("SELECT ON app.{table}", "not valid here"),
    ('SELECT ON app.""', "empty"),
    (f"SELECT ON app.{'x' * 64}", "63 bytes"),
    ("SELECT ON app.'orders'", "not valid here"),
    ('SELECT ON U&"app".orders', "not valid here"),
    ("SELECT ON app.orders app.x", "after the end"),
    ("SELECT ON app.$$x$$", "not valid here"),
    ("EXECUTE ON FUNCTION app.f(int", "`)` is needed"),
    ("x" * 5000, "at most 4096"),
]


@pytest.mark.parametrize(("line", "why"), REFUSED)
def test_what_is_no_list_of_privileges_is_refused_with_the_reason(line, why):
    refused = decide(compiled("SELECT ON app.orders"), line)
    assert isinstance(refused, Refused)
    assert refused.code == "syntax"
    assert why in refused.reason


def test_a_table_covers_its_columns_and_a_column_not_its_table():
    on_table, on_column = compiled("UPDATE ON app.orders"), compiled("UPDATE (status) ON app.orders")
    assert isinstance(decide(on_table, "UPDATE (status) ON app.orders"), Allowed)
    refused = decide(on_column, "UPDATE ON app.orders")
    assert "only on some of its columns" in refused.reason
    assert refused.nearest == "UPDATE (status) ON app.orders"


def test_what_comes_with_an_object_is_the_use_of_its_schema_and_of_no_other():
    granted = compiled("SELECT ON app.orders")
    assert isinstance(decide(granted, "USAGE ON SCHEMA app"), Allowed)
    assert isinstance(decide(granted, "USAGE ON SCHEMA public"), Refused)
    assert describe(granted)[0].detail == ("with USAGE ON SCHEMA app",)


def test_functions_are_told_apart_by_their_arguments():
    granted = compiled("EXECUTE ON FUNCTION app.close(int)")
    assert isinstance(decide(granted, "EXECUTE ON FUNCTION app.close(integer)"), Allowed)
    for other in (
        "app.close()",
        "app.close(bigint)",
        "app.close(int[])",
        "app.close(app.int4)",
        "app.close(int, int)",
    ):
        assert isinstance(decide(granted, f"EXECUTE ON FUNCTION {other}"), Refused)


def test_a_bound_name_is_one_whole_name_as_it_is():
    set_ = {"parameters": {"table": {"pattern": ".+"}}}
    granted = compiled("SELECT ON app.{table}", values={"table": 'orders TO x; --"'}, **set_)
    assert [str(one) for one in granted.privileges()] == [
        "USAGE ON SCHEMA app",
        'SELECT ON app."orders TO x; --"""',
    ]
    assert isinstance(decide(granted, "SELECT ON app.orders"), Refused)
    upper = compiled("SELECT ON app.{table}", values={"table": "Orders"}, **set_)
    assert isinstance(decide(upper, 'SELECT ON app."Orders"'), Allowed)
    assert isinstance(decide(upper, "SELECT ON app.Orders"), Refused)


@pytest.mark.parametrize(
    "role", ["pg_write_all_data", "pg_execute_server_program", "postgres", "public", "stint_broker", "x" * 64]
)
def test_no_value_names_a_role_that_nobody_may_have(role):
    open_ended = document("ROLE {role}", parameters={"role": {"name": 100}})
    with pytest.raises(CompileError):
        compile_set(open_ended, {"role": role})
    assert isinstance(decide(compile_open(open_ended), f'ROLE "{role[:63]}"'), Refused) or len(role) > 63
    assert isinstance(decide(compile_set(open_ended, {"role": "reporting"}), "ROLE reporting"), Allowed)


def test_what_is_free_is_a_list_and_all_of_it_is_granted():
    where = {"table": {"choice": ["orders", "invoices"]}}
    granted = compiled("SELECT ON app.{table}", where=where)
    assert [str(one) for one in granted.privileges()][1:] == [
        "SELECT ON app.orders",
        "SELECT ON app.invoices",
    ]
    assert decide(granted, "SELECT ON app.invoices").matched == {"table": "invoices"}
    assert isinstance(decide(granted, "SELECT ON app.others"), Refused)
    for type_ in ({"name": 10}, {"pattern": "x.*"}, {"int": [1, 2]}):
        with pytest.raises(DocumentError, match="needs a choice"):
            document("SELECT ON app.{table}", where={"table": type_})
    with pytest.raises(DocumentError, match="63 bytes"):
        document("SELECT ON app.{table}", where={"table": {"choice": ["x" * 64]}})


def test_a_refusal_names_what_comes_nearest():
    granted = compiled("SELECT ON app.orders", "ROLE reporting")
    assert decide(granted, "DELETE ON app.orders").nearest == "SELECT ON app.orders"
    assert decide(granted, "DELETE ON app.orders").code == "privilege"
    assert decide(granted, "ROLE other").code == "object"
    assert decide(granted, "ROLE pg_write_all_data").code == "role"
    assert decide(compiled(), "SELECT ON app.orders").code == "empty"


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
    lambda text: text.isprintable()
)
types = st.builds(ArgumentType, st.sampled_from(["pg_catalog", "app"]), names, st.booleans())
privileges = st.one_of(
    st.builds(
        lambda word, a, b: Privilege("table", word, (a, b)),
        st.sampled_from(["SELECT", "DELETE"]),
        names,
        names,
    ),
    st.builds(lambda a, b, c: Privilege("column", "UPDATE", (a, b, c)), names, names, names),
    st.builds(
        lambda a, b, c: Privilege("function", "EXECUTE", (a, b), tuple(c)),
        names,
        names,
        st.lists(types, max_size=3),
    ),
    st.builds(lambda a: Privilege("role", "MEMBER", (a,)), names.filter(lambda name: name != "public")),
    st.builds(lambda a: Privilege("schema", "USAGE", (a,)), names),
)


@given(privileges)
def test_what_is_shown_reads_back_as_the_same_privilege(one):
    assume(all(len(name.encode()) <= 63 and hidden_at(name) is None for name in one.plain_names))
    assume(all(hidden_at(of.schema + of.name) is None for of in one.arguments))
    assert parse_line(str(one)) == (one,)


@given(st.text(max_size=60))
def test_no_line_makes_it_fail_and_what_is_allowed_is_allowed_again(line):
    granted = compiled("SELECT, UPDATE (status) ON app.orders", "ROLE reporting")
    for asked in (line, f"SELECT ON {line}", f"SELECT ON app.orders{line}"):
        verdict = decide(granted, asked)
        if isinstance(verdict, Allowed):
            assert decide(granted, verdict.line).line == verdict.line
