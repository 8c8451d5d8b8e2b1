"""Statements: which are allowed, in what form they are sent, and why others are refused."""

import pytest

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.kinds import decide, describe
from sessions_app.policy.commands.postgres.statements import Passes, Runs, decide_text, prepare
from tests.sessions_app.policy.commands.postgres.statement_sets import (
    CALL,
    DELETE,
    EVERY,
    INSERT,
    SELECT,
    UPDATE,
    compiled,
)

PAID = "UPDATE app.orders SET status = 'paid' WHERE id = 7"
TEXT, INT4, TIMESTAMP, REGCLASS = 25, 23, 1114, 2205


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("update orders o set status = 'paid' where o.id = 7", PAID),
        ('UPDATE "app"."orders" SET "status" = $$paid$$ WHERE (orders.id) = (7) -- done\n;', PAID),
        (
            "UPDATE orders SET status = E'p\\x61id' WHERE id = '7'",
            "UPDATE app.orders SET status = 'paid' WHERE id = '7'",
        ),
        (
            "UPDATE orders SET status = 'paid'::text WHERE id = 7::bigint",
            "UPDATE app.orders SET status = 'paid'::text WHERE id = 7::bigint",
        ),
        (
            "insert into notes(order_id, body) values (7, 'it''s') returning notes.id",
            "INSERT INTO app.notes (order_id, body) VALUES (7, 'it''s') RETURNING id",
        ),
        ("delete from notes where id = 1", "DELETE FROM app.notes WHERE id = 1"),
        ("select refund(7)", "SELECT app.refund(7::integer)"),
        ("select app.refund('7')", "SELECT app.refund('7'::integer)"),
        (
            (
                "select id, upper(status) as state from orders where id in (1, 2) and not total < -5"
                " order by state desc limit 10 offset 5"
            ),
            (
                "SELECT id, pg_catalog.upper(status) AS state FROM app.orders WHERE id IN (1, 2) AND"
                " (NOT total < (-5)) ORDER BY state DESC LIMIT 10 OFFSET 5"
            ),
        ),
        (
            (
                "select o.id, c.name from orders o join customers c on c.id = o.id"
                " where o.total between 1 and 9"
                " limit 1"
            ),
            (
                "SELECT o.id, c.name FROM app.orders AS o JOIN app.customers AS c ON c.id = o.id"
                " WHERE o.total BETWEEN 1 AND 9 LIMIT 1"
            ),
        ),
        (
            "select count(*), sum(total) from orders where status like 'o%'",
            "SELECT pg_catalog.count(*), pg_catalog.sum(total) FROM app.orders WHERE status LIKE 'o%'",
        ),
        (
            r"select id from orders where status = 'a\' limit 5",
            r"SELECT id FROM app.orders WHERE status = E'a\\' LIMIT 5",
        ),
        (
            "declare c no scroll cursor for select id from orders where id = 7 limit 5",
            "DECLARE c NO SCROLL CURSOR FOR SELECT id FROM app.orders WHERE id = 7 LIMIT 5",
        ),
    ],
)
def test_what_is_sent_is_canonical_and_is_allowed_again_as_it_is_recorded(text, sent):
    every = compiled(*EVERY)
    (found,) = decide_text(every, text)
    assert isinstance(found, Runs), found
    assert found.text == found.allowed.line == sent
    assert decide(every, found.allowed.line) == found.allowed == decide(every, text)


def test_a_command_says_what_it_does_and_what_is_free():
    update = next(
        iter(
            describe(
                compiled(
                    UPDATE | {"where": {"status": {"choice": ["paid"]}}},
                    values={"id": "7"},
                    parameters={"id": {"int": [1, 9]}},
                )
            )
        )
    )
    assert update.text == "UPDATE app.orders SET status = {status} WHERE id = 7"
    assert [one.name for one in update.free] == ["status"]
    assert update.detail == ("rolled back if it changes more than 1 rows",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PAID.replace("7", "1001"), "id needs a number from 1 to 1000"),
        (PAID.replace("7", "07"), None),
        (PAID.replace("7", "'07'"), "`07` must be written as `7`"),
        (PAID.replace("7", "7.0"), "id needs a number"),
        (PAID.replace("7", "NULL"), "id can't be NULL"),
        (PAID.replace("7", "'7'::interval"), "cast to interval"),
        (PAID.replace("'paid'", "'gone'"), "`gone` is not one of open, paid"),
        (PAID.replace("'paid'", "'open'::varchar(2)"), "which could change it"),
        (PAID.replace("'paid'", "lower('PAID')"), "no command allows this UPDATE of app.orders"),
        (PAID.replace(" WHERE id = 7", ""), "no command allows this UPDATE of app.orders"),
        (PAID.replace("id = 7", "id = 7 OR true"), "no command allows this UPDATE"),
        ("SELECT id FROM app.orders WHERE id = 7", "the statement needs LIMIT 100 or less"),
        ("SELECT id FROM app.orders WHERE id = 7 LIMIT 101", "LIMIT must be at most 100"),
        ("SELECT id FROM app.orders WHERE id = id LIMIT 1", "it needs a WHERE"),
        ("SELECT id FROM app.orders WHERE id = 1 OR true LIMIT 1", "it needs a WHERE"),
        ("SELECT card FROM app.orders WHERE id = 1 LIMIT 1", "`card` is not one of the columns"),
        ("SELECT id FROM app.orders WHERE card = 'x' LIMIT 1", "`card` is not one of the columns"),
        ("SELECT id FROM app.cards WHERE id = 1 LIMIT 1", "`app.cards` is not one of the tables"),
        ("SELECT * FROM app.orders WHERE id = 1 LIMIT 1", "write the columns instead of *"),
    ],
)
def test_a_refusal_says_what_differs_and_what_is_nearest(text, reason):
    found = decide(compiled(*EVERY), text)
    if reason is None:
        assert isinstance(found, Allowed)
        return
    assert isinstance(found, Refused)
    assert reason in found.reason
    assert str(found.nearest).split(" ")[0] == text.split(" ")[0]


def test_of_several_statements_each_is_decided_before_the_first_is_sent():
    found = decide_text(compiled(*EVERY), f"BEGIN; {PAID}; DROP TABLE app.orders; COMMIT")
    assert [type(one) for one in found] == [Passes, Runs, Refused, Passes]
    assert decide(compiled(*EVERY), f"{PAID}; {PAID}").code == "syntax"
    assert decide_text(compiled(*EVERY), f"{PAID}; DROP") == (
        Refused("the SQL can't be parsed: syntax error at end of input", found[2].nearest, "syntax"),
    )


def test_bound_parameters_are_matched_as_literals_are():
    found = prepare(compiled(*EVERY), "update orders set status = $2 where id = $1::int", [0, TEXT])
    assert (found.text, found.places) == ("UPDATE app.orders SET status = $2 WHERE id = $1::integer", 2)
    runs = found.bind(["7", "paid"])
    assert (runs.text, runs.max_rows) == (found.text, 1)
    assert runs.allowed.line == PAID + "::integer"
    assert runs.allowed.matched == {"id": "7", "status": "paid"}
    for values in (["1001", "paid"], ["7", "gone"], ["7", None], [" 7", "paid"], ["7"], ["7", "paid\n"]):
        assert isinstance(found.bind(values), Refused)


def test_a_constant_of_the_rule_may_be_bound_to_itself():
    rule = {"sql": "UPDATE app.orders SET status = 'paid' WHERE id = {id}", "where": UPDATE["where"] | {}}
    rule["where"] = {"id": {"int": [1, 9]}}
    found = prepare(compiled(rule), "UPDATE orders SET status = $1 WHERE id = $2")
    assert found.bind(["paid", "7"]).allowed.line == PAID
    assert "fixed" in found.bind(["open", "7"]).reason


def test_a_routine_is_called_with_the_types_of_its_rule():
    found = prepare(compiled(CALL), "SELECT app.refund($1)")
    assert found.text == "SELECT app.refund($1::integer)"
    assert found.bind(["7"]).allowed.line == "SELECT app.refund(7::integer)"
    assert isinstance(prepare(compiled(CALL), "SELECT app.refund($1::text)").bind(["7"]), Refused)
    procedure = compiled({"call": "CALL app.tidy('all', {id}::bigint)", "where": CALL["where"]})
    assert decide(procedure, "call tidy('all', 7)").line == "CALL app.tidy('all'::text, 7::bigint)"
    rows = compiled({"call": "SELECT * FROM app.open({id})", "where": CALL["where"]})
    assert isinstance(decide(rows, "select * from open(7)"), Allowed)
    assert isinstance(decide(rows, "select open(7)"), Refused)


@pytest.mark.parametrize(
    ("type_", "value"), [(TIMESTAMP, "paid"), (INT4, "paid"), (REGCLASS, "paid"), (999_999, "paid")]
)
def test_a_declared_type_that_could_change_a_value_is_refused(type_, value):
    found = prepare(compiled(UPDATE), "UPDATE orders SET status = $1 WHERE id = 7", [type_])
    assert isinstance(found if isinstance(found, Refused) else found.bind([value]), Refused)


def test_what_can_never_match_is_refused_before_any_value_is_bound():
    every = compiled(*EVERY)
    assert isinstance(prepare(every, "UPDATE orders SET status = $1"), Refused)
    assert isinstance(prepare(every, "UPDATE orders SET status = $1 WHERE id = 1001"), Refused)
    assert isinstance(prepare(every, "SELECT card FROM orders WHERE id = $1 LIMIT 1"), Refused)
    assert isinstance(prepare(every, f"{PAID}; {PAID}"), Refused)
    assert isinstance(
        prepare(every, "DECLARE c CURSOR FOR SELECT id FROM orders WHERE id = $1 LIMIT 1"), Refused
    )
    assert prepare(every, "BEGIN") == Passes("BEGIN", "begin")


def test_the_limit_of_a_select_may_be_bound():
    found = prepare(compiled(SELECT), "select id from orders where id = any($1::int[]) limit $2")
    assert found.bind(["{1,2}", "100"]).allowed.line == (
        "SELECT id FROM app.orders WHERE id = ANY ('{1,2}'::integer[]) LIMIT 100"
    )
    for limit in ("101", "-1", "", "1e1", "٣", None):
        assert isinstance(found.bind(["{1}", limit]), Refused)


PASSES = [
    ("begin", "begin", "BEGIN"),
    ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE", "begin", None),
    ("COMMIT WORK", "commit", "COMMIT"),
    ("end", "commit", "COMMIT"),
    ("ABORT", "rollback", "ROLLBACK"),
    ("SAVEPOINT a", "savepoint", "SAVEPOINT a"),
    ("RELEASE a", "release", None),
    ("ROLLBACK TO a", "rollback to", None),
    ("SET LOCAL statement_timeout = 500", "setting", None),
    ("SET TIME ZONE 'UTC'", "setting", None),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "setting", None),
    ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "setting", None),
    ("RESET DateStyle", "setting", None),
    ("SHOW transaction_isolation", "setting", None),
    ("DEALLOCATE ALL", "setting", "DEALLOCATE ALL"),
    ("FETCH 5 FROM c", "fetch", None),
    ("MOVE ALL IN c", "fetch", None),
    ("CLOSE c", "close", "CLOSE c"),
    (" /* ping */ ; ", "empty", ""),
]


@pytest.mark.parametrize(("text", "effect", "sent"), PASSES)
def test_transaction_control_settings_and_cursors_pass(text, effect, sent):
    every = compiled(*EVERY)
    (found,) = decide_text(every, text)
    assert found.effect == effect
    assert sent is None or found.text == sent
    assert decide_text(every, found.text)[0] == found
    assert prepare(every, text) == found
    assert decide(every, text).code == "passes"


def test_of_commands_that_fit_the_held_one_decides_then_the_one_for_fewer_rows():
    for commands in ((UPDATE, UPDATE | {"hold": True}), (UPDATE | {"hold": True}, UPDATE)):
        assert decide(compiled(*commands), PAID).hold
    few, many = UPDATE | {"max_rows": 1}, UPDATE | {"max_rows": 9}
    assert decide_text(compiled(many, few), PAID)[0].max_rows == 1
    within = SELECT | {"hold": True}
    rule = {"sql": "SELECT id FROM app.orders WHERE id = {id} LIMIT 1", "where": {"id": {"int": [1, 9]}}}
    assert decide(
        compiled(rule | {"effect": "read"}, within), "select id from orders where id=1 limit 1"
    ).hold


HELD = UPDATE | {"hold": True}


def test_a_held_statement_shows_the_rows_that_it_is_about_with_the_values_that_are_sent():
    (runs,) = decide_text(compiled(HELD), PAID)
    assert runs.allowed.at_commit
    assert runs.shown.before(("id",)) == (
        "SELECT id::pg_catalog.text, status::pg_catalog.text FROM app.orders"
        " WHERE id = 7 ORDER BY id LIMIT 20 FOR NO KEY UPDATE"
    )
    assert runs.shown.returning(()) == " RETURNING id::pg_catalog.text, status::pg_catalog.text"
    bound = prepare(compiled(HELD), "UPDATE orders SET status = $1 WHERE id = $2", [0, 23])
    runs = bound.bind(["paid", "7"])
    assert "WHERE id = '7'::integer " in runs.shown.before(("id",))
    assert runs.shown.plain == "UPDATE app.orders SET status = 'paid' WHERE id = '7'::integer"


@pytest.mark.parametrize("rule", [SELECT, CALL])
def test_reads_and_calls_are_held_before_they_are_sent(rule):
    (command,) = compiled(rule | {"hold": True}).commands
    assert not command.at_commit


def test_a_role_reads_what_its_held_statements_set_and_nothing_more():
    def privileges(rule) -> set[str]:
        return set(map(str, compiled(rule).privileges()))

    assert privileges(HELD) - privileges(UPDATE) == {"SELECT (status) ON app.orders"}


def test_names_of_savepoints_that_are_one_for_the_server_are_one_here():
    for text in ("a" * 63, "A" * 63, "a" * 64, "a" * 63 + "b"):
        (found,) = decide_text(compiled(), f"SAVEPOINT {text}")
        assert (found.savepoint, found.text) == ("a" * 63, f"SAVEPOINT {'a' * 63}")


def test_approvers_read_that_a_statement_waits_at_its_commit():
    (view,) = describe(compiled(HELD | {"explain": True}))
    assert "each UPDATE waits at COMMIT for a second person, who sees its rows and its plan" in view.detail


def test_a_role_gets_what_its_statements_need_by_column():
    said = set(map(str, compiled(*EVERY, values={}).privileges()))
    assert said == {
        "USAGE ON SCHEMA app",
        "UPDATE (status) ON app.orders",
        "SELECT (id) ON app.orders",
        "INSERT (order_id) ON app.notes",
        "INSERT (body) ON app.notes",
        "SELECT (id) ON app.notes",
        "DELETE ON app.notes",
        "SELECT (status) ON app.orders",
        "SELECT (total) ON app.orders",
        "SELECT (id) ON app.customers",
        "SELECT (name) ON app.customers",
        "EXECUTE ON FUNCTION app.refund(integer)",
    }
    every = {"sql": "DELETE FROM app.notes WHERE id = 1 RETURNING *", "effect": "destructive"}
    assert set(map(str, compiled(every, values={}).privileges())) == {
        "USAGE ON SCHEMA app",
        "DELETE ON app.notes",
        "SELECT ON app.notes",
    }


def test_what_approvers_left_out_is_refused_as_that():
    from sessions_app.policy.commands.kinds import compile_set
    from tests.sessions_app.policy.commands.postgres.statement_sets import statements

    kept = compile_set(statements(UPDATE, DELETE), {}, keep=[0])
    assert decide(kept, "DELETE FROM notes WHERE id = 1").code == "left_out"
    assert isinstance(decide(kept, PAID), Allowed)
    assert decide(compile_set(statements(UPDATE), {}, keep=[]), "INSERT INTO x VALUES (1)").code == "empty"


def test_names_without_a_schema_are_refused_where_the_set_names_none():
    assert isinstance(decide(compiled(UPDATE, schema=None), PAID), Allowed)
    refused = decide(compiled(UPDATE, schema=None), PAID.replace("app.", ""))
    assert "write `orders` with its schema" in refused.reason


def test_insert_and_delete_match_as_well():
    assert isinstance(decide(compiled(INSERT), "INSERT INTO notes (body, order_id) VALUES ('a', 1)"), Refused)
    assert decide(compiled(DELETE), "DELETE FROM notes WHERE id = 5").hold
