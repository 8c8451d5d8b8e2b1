"""Texts that look harmless, or like what a command allows, and are neither: each is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.postgres.sql.parsing import MAX_BYTES, MAX_NESTING
from sessions_app.policy.commands.postgres.statements import decide_text, prepare
from tests.sessions_app.policy.commands.postgres.statement_sets import EVERY, compiled

PAID = "UPDATE app.orders SET status = 'paid' WHERE id = 7"
READ = "SELECT id FROM app.orders WHERE id = 7 LIMIT 1"

WRITES_IN_READS = """
WITH d AS (DELETE FROM app.orders RETURNING id) SELECT id FROM d LIMIT 1
WITH d AS (UPDATE app.orders SET status = 'paid' RETURNING id) SELECT id FROM app.orders WHERE id = 7 LIMIT 1
WITH d AS (SELECT id FROM app.cards) SELECT id FROM app.orders WHERE id = 7 LIMIT 1
WITH RECURSIVE d AS (SELECT 1 UNION ALL SELECT 1 FROM d) SELECT id FROM app.orders WHERE id = 7 LIMIT 1
SELECT id INTO app.copy FROM app.orders WHERE id = 7 LIMIT 1
SELECT id INTO TEMP copy FROM app.orders WHERE id = 7 LIMIT 1
CREATE TABLE app.copy AS SELECT id FROM app.orders WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE id = 7 LIMIT 1 FOR UPDATE
SELECT id FROM app.orders WHERE id = 7 LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
SELECT id FROM app.orders WHERE id = 7 LIMIT 1 FOR SHARE OF orders
SELECT id FROM app.orders WHERE id = 7 UNION SELECT id FROM app.cards LIMIT 1
SELECT id FROM app.orders WHERE id = 7 EXCEPT SELECT 1 LIMIT 1
(SELECT id FROM app.orders WHERE id = 7) UNION ALL (SELECT id FROM app.orders) LIMIT 1
TABLE app.orders
VALUES (1), (2)
EXPLAIN ANALYZE DELETE FROM app.orders
EXPLAIN SELECT id FROM app.orders WHERE id = 7 LIMIT 1
"""
FUNCTIONS = """
SELECT pg_sleep(10)
SELECT pg_catalog.pg_sleep(10)
SELECT pg_catalog.pg_read_file('/etc/passwd')
SELECT id, pg_sleep(10) FROM app.orders WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE id = 7 AND pg_sleep(10) IS NULL LIMIT 1
SELECT id FROM app.orders WHERE id = 7 AND app.refund(8) = 1 LIMIT 1
SELECT id, app.refund(8) FROM app.orders WHERE id = 7 LIMIT 1
SELECT set_config('role', 'postgres', false)
SELECT lo_import('/etc/passwd')
SELECT id FROM app.orders WHERE id = nextval('app.numbers') LIMIT 1
SELECT repeat(status, 1000000000) FROM app.orders WHERE id = 7 LIMIT 1
SELECT string_agg(status, ',') FROM app.orders WHERE id = 7 LIMIT 1
SELECT count(*) OVER () FROM app.orders WHERE id = 7 LIMIT 1
SELECT count(*) FILTER (WHERE true) FROM app.orders WHERE id = 7 LIMIT 1
SELECT sum(total ORDER BY pg_sleep(1)) FROM app.orders WHERE id = 7 LIMIT 1
SELECT count(VARIADIC ARRAY[1]) FROM app.orders WHERE id = 7 LIMIT 1
SELECT upper(s => status) FROM app.orders WHERE id = 7 LIMIT 1
SELECT public.count(id) FROM app.orders WHERE id = 7 LIMIT 1
SELECT current_user FROM app.orders WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE id = 7 ORDER BY pg_sleep(10) LIMIT 1
SELECT id FROM app.orders WHERE id = 7 GROUP BY id HAVING pg_sleep(10) IS NULL LIMIT 1
SELECT app.refund(7), app.refund(8)
SELECT app.refund((SELECT 7))
SELECT app.refund(id => 7)
SELECT app.refund(VARIADIC ARRAY[7])
SELECT app.refund(7) FROM app.orders
SELECT app.refund(1001)
SELECT app.refund(7, 8)
SELECT other.refund(7)
CALL app.refund(7)
SELECT * FROM app.refund(7) WITH ORDINALITY
SELECT id FROM app.orders, pg_sleep(10) WHERE id = 7 LIMIT 1
SELECT id FROM app.orders, generate_series(1, 1000000) WHERE id = 7 LIMIT 1
"""
SUBQUERIES = """
SELECT (SELECT number FROM app.cards LIMIT 1) FROM app.orders WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE id IN (SELECT id FROM app.cards) LIMIT 1
SELECT id FROM app.orders WHERE EXISTS (SELECT 1 FROM app.cards) LIMIT 1
SELECT id FROM (SELECT * FROM app.cards) AS orders WHERE id = 7 LIMIT 1
SELECT id FROM app.orders, LATERAL (SELECT 1) AS x WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE id = 7 LIMIT (SELECT 1)
UPDATE app.orders SET status = (SELECT number FROM app.cards) WHERE id = 7
UPDATE app.orders SET status = 'paid' WHERE id = (SELECT 7)
UPDATE app.orders SET (status) = (SELECT number FROM app.cards) WHERE id = 7
INSERT INTO app.notes (order_id, body) SELECT 7, number FROM app.cards
"""
COLUMNS = """
SELECT orders FROM app.orders WHERE id = 7 LIMIT 1
SELECT o FROM app.orders AS o WHERE id = 7 LIMIT 1
SELECT o.* FROM app.orders AS o WHERE id = 7 LIMIT 1
SELECT (o).card FROM app.orders AS o WHERE id = 7 LIMIT 1
SELECT (orders.*)::text FROM app.orders WHERE id = 7 LIMIT 1
SELECT ROW(id, card) FROM app.orders WHERE id = 7 LIMIT 1
SELECT ARRAY[card] FROM app.orders WHERE id = 7 LIMIT 1
SELECT ctid FROM app.orders WHERE id = 7 LIMIT 1
SELECT xmin, tableoid FROM app.orders WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE ctid = '(0,1)' LIMIT 1
SELECT id FROM app.orders AS o (card, id) WHERE id = 7 LIMIT 1
SELECT id FROM app.orders NATURAL JOIN app.customers WHERE id = 7 LIMIT 1
SELECT orders.id FROM app.orders JOIN app.customers USING (card) WHERE orders.id = 7 LIMIT 1
SELECT o.id FROM app.orders o JOIN app.customers c ON o.card = c.id WHERE o.id = 7 LIMIT 1
SELECT id FROM app.orders, app.customers WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE id = 7 ORDER BY card LIMIT 1
SELECT count(*) FROM app.orders WHERE id = 7 GROUP BY card LIMIT 1
SELECT count(*) AS card FROM app.orders WHERE id = 7 GROUP BY card LIMIT 1
SELECT DISTINCT ON (card) id FROM app.orders WHERE id = 7 LIMIT 1
SELECT id FROM ONLY app.orders WHERE id = 7 LIMIT 1
SELECT id FROM app.orders TABLESAMPLE SYSTEM (1) WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE id = 7 FETCH FIRST 1 ROW WITH TIES
SELECT id FROM app.orders WHERE id = 7 LIMIT ALL
SELECT id FROM app.orders WHERE id = 7 LIMIT 1 + 100
SELECT CASE WHEN status = 'x' THEN card END FROM app.orders WHERE id = 7 LIMIT 1
SELECT id FROM app.orders WHERE status ~ '(a+)+$' AND id = 7 LIMIT 1
SELECT id FROM app.orders WHERE status SIMILAR TO 'a' AND id = 7 LIMIT 1
SELECT id FROM app.orders WHERE id = ALL (ARRAY[7]) LIMIT 1
SELECT id FROM app.orders WHERE status = 'x' COLLATE "C" LIMIT 1
SELECT id FROM app.orders WHERE id OPERATOR(app.=) 7 LIMIT 1
SELECT id FROM app.orders WHERE id = '7'::app.evil LIMIT 1
SELECT id FROM app.orders WHERE 'app.cards'::regclass = '1'::regclass LIMIT 1
SELECT 1 FROM app.orders WHERE (id, total) = (7, 1) LIMIT 1
"""
SCHEMAS = """
SELECT id FROM pg_catalog.orders WHERE id = 7 LIMIT 1
SELECT id FROM pg_temp.orders WHERE id = 7 LIMIT 1
SELECT id FROM public.orders WHERE id = 7 LIMIT 1
SELECT id FROM shop.app.orders WHERE id = 7 LIMIT 1
SELECT rolpassword FROM pg_authid
SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = 'x' LIMIT 1
SELECT id FROM "APP".orders WHERE id = 7 LIMIT 1
SELECT id FROM app."Orders" WHERE id = 7 LIMIT 1
SELECT id FROM app.оrders WHERE id = 7 LIMIT 1
UPDATE pg_temp.orders SET status = 'paid' WHERE id = 7
UPDATE ONLY app.orders SET status = 'paid' WHERE id = 7
SET search_path = evil
SET LOCAL search_path TO evil, pg_catalog
SELECT set_config('search_path', 'evil', false)
CREATE TEMP TABLE orders (id int)
"""
VALUES = """
UPDATE app.orders SET status = 'gone' WHERE id = 7
UPDATE app.orders SET status = U&'\\0070\\0061\\0069\\0064!' WHERE id = 7
UPDATE app.orders SET status = E'paid\\n' WHERE id = 7
UPDATE app.orders SET status = $x$paid'; DROP TABLE app.orders; --$x$ WHERE id = 7
UPDATE app.orders SET status = 'paid' WHERE id = 7 OR 1 = 1
UPDATE app.orders SET status = 'paid' WHERE id = 7 /* */ OR /* /* nested */ */ true
UPDATE app.orders SET status = 'paid' -- WHERE id = 7
UPDATE app.orders SET status = 'paid' /* WHERE id = 7 */
UPDATE app.orders SET status = 'paid' WHERE id = 7::text::integer
UPDATE app.orders SET status = 'paid' WHERE id = '7'::"char"
UPDATE app.orders SET status = 'paid' WHERE id = CAST('7' AS app.evil)
UPDATE app.orders SET status = 'paid' WHERE id = 7.0
UPDATE app.orders SET status = 'paid' WHERE id = 7e0
UPDATE app.orders SET status = 'paid' WHERE id = b'111'
UPDATE app.orders SET status = 'paid' WHERE id = x'7'
UPDATE app.orders SET status = 'paid' WHERE id = NULL
UPDATE app.orders SET status = NULL WHERE id = 7
UPDATE app.orders SET status = DEFAULT WHERE id = 7
UPDATE app.orders SET status = 'paid'::char(2) WHERE id = 7
UPDATE app.orders SET status = 'now'::timestamp WHERE id = 7
UPDATE app.orders SET status = 'paid', card = 'x' WHERE id = 7
UPDATE app.orders SET card = 'paid' WHERE id = 7
UPDATE app.orders SET status[1] = 'paid' WHERE id = 7
UPDATE app.orders SET status = 'paid' FROM app.cards WHERE orders.id = 7
UPDATE app.orders SET status = 'paid' WHERE id = 7 RETURNING card
UPDATE app.orders SET status = 'paid' WHERE id >= 7
UPDATE app.orders SET status = 'paid' WHERE NOT id = 7
UPDATE app.orders SET status = 'paid' WHERE id OPERATOR(app.=) 7
UPDATE app.orders SET status = 'paid' WHERE id = ANY ('{7,8}')
UPDATE app.orders SET status = 'paid' WHERE ARRAY[id] = ARRAY[7]
UPDATE app.orders SET status = 'paid' WHERE ROW(id) = ROW(7)
UPDATE app.orders SET status = 'paid' WHERE CURRENT OF c
WITH x AS (SELECT 1) UPDATE app.orders SET status = 'paid' WHERE id = 7
DELETE FROM app.notes
DELETE FROM app.notes WHERE id = 1001
DELETE FROM app.notes USING app.orders WHERE notes.id = 7
INSERT INTO app.notes (order_id, body) VALUES (7, 'a'), (8, 'b')
INSERT INTO app.notes VALUES (7, 'a') RETURNING id
INSERT INTO app.notes (order_id, body) VALUES (7, 'a') ON CONFLICT (id) DO UPDATE SET body = 'b' RETURNING id
INSERT INTO app.notes (order_id, body) OVERRIDING SYSTEM VALUE VALUES (7, 'a') RETURNING id
INSERT INTO app.notes (order_id, body) VALUES (7, 'A') RETURNING id
INSERT INTO app.notes (order_id, body) VALUES (7, '') RETURNING id
MERGE INTO app.orders USING app.cards ON true WHEN MATCHED THEN DELETE
"""
OTHERS = """
COPY app.orders TO PROGRAM 'sh'
COPY (SELECT id FROM app.orders WHERE id = 7 LIMIT 1) TO STDOUT
COPY app.orders FROM STDIN
DO $$ BEGIN PERFORM pg_sleep(10); END $$
SET ROLE postgres
SET SESSION AUTHORIZATION postgres
RESET ALL
RESET SESSION AUTHORIZATION
SET standard_conforming_strings = off
SET client_encoding = 'LATIN1'
SET NAMES 'SJIS'
SET session_replication_role = replica
SET row_security = off
SET TRANSACTION SNAPSHOT '00000003-1'
SET XML OPTION DOCUMENT
SET app.user = 'x'
SHOW ALL
SHOW data_directory
PREPARE x AS SELECT 1
EXECUTE x
PREPARE TRANSACTION 'x'
COMMIT PREPARED 'x'
COMMIT AND CHAIN
ROLLBACK AND CHAIN
DISCARD ALL
LISTEN x
UNLISTEN *
NOTIFY x, 'y'
LOCK TABLE app.orders
TRUNCATE app.orders
VACUUM
CHECKPOINT
ALTER SYSTEM SET x = 1
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
GRANT ALL ON app.orders TO PUBLIC
REASSIGN OWNED BY x TO y
SECURITY LABEL ON ROLE x IS 'y'
REFRESH MATERIALIZED VIEW x
LOAD 'x'
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM app.orders WHERE id = 7 LIMIT 1
DECLARE c BINARY CURSOR FOR SELECT id FROM app.orders WHERE id = 7 LIMIT 1
DECLARE c CURSOR FOR SELECT card FROM app.orders WHERE id = 7 LIMIT 1
DECLARE c CURSOR FOR UPDATE app.orders SET status = 'paid' WHERE id = 7 RETURNING id
"""
TEXTS = [
    line
    for group in (WRITES_IN_READS, FUNCTIONS, SUBQUERIES, COLUMNS, SCHEMAS, VALUES, OTHERS)
    for line in group.strip().splitlines()
]
WHOLE = {
    "a NUL": f"{PAID}\0; DROP TABLE app.orders",
    "a lone surrogate": f"{PAID} \ud800",
    "a text that is too long": f"{PAID} -- {'x' * MAX_BYTES}",
    "a parameter without a value": "UPDATE app.orders SET status = $1 WHERE id = $2",
    "a parameter of number zero": "UPDATE app.orders SET status = $0 WHERE id = $0",
    "a parameter of a number that is too high": "UPDATE app.orders SET status = $65536 WHERE id = 7",
    "an invisible name": 'SELECT id AS "\u202epaid" FROM app.orders WHERE id = 7 LIMIT 1',
    "an invisible cursor": f'DECLARE "\u200b" CURSOR FOR {READ}',
    "a value over two lines": "SELECT id FROM app.orders WHERE status = 'a'\n'b\nc' LIMIT 1",
    "an open comment": f"{PAID} /* /* */",
    "an open string": f"{PAID} '",
    "an open dollar quote": f"{PAID} $x$",
    "many statements": ";".join(["SELECT 1"] * 101),
    "many tables": f"SELECT {', '.join(f'a{n}.id' for n in range(9))} FROM "
    + ", ".join(f"app.orders a{n}" for n in range(9))
    + " WHERE a1.id = 7 LIMIT 1",
}


def refused(text: str) -> bool:
    """Whether every way to send a text is refused."""
    every = compiled(*EVERY)
    prepared = prepare(every, text)
    return any(isinstance(one, Refused) for one in decide_text(every, text)) and (
        isinstance(prepared, Refused) or isinstance(prepared.bind(["x"] * prepared.places), Refused)
    )


def test_there_are_hundreds_of_them():
    assert len(set(TEXTS)) == len(TEXTS) > 190


@pytest.mark.parametrize("text", [*TEXTS, *(pytest.param(text, id=name) for name, text in WHOLE.items())])
def test_it_is_refused_with_a_reason(text):
    assert refused(text)
    assert all(
        isinstance(one, Refused) and one.reason
        for one in decide_text(compiled(*EVERY), text)
        if not hasattr(one, "text")
    )


DEEP = {
    "parentheses": lambda n: "(" * n + "1" + ")" * n,
    "sums": lambda n: "1+" * n + "1",
    "negations": lambda n: "NOT " * n + "true",
    "signs": lambda n: "- " * n + "id",
    "casts": lambda n: "1" + "::int" * n,
    "selects": lambda n: "(SELECT " * n + "1" + ")" * n,
    "calls": lambda n: "f(" * n + "1" + ")" * n,
    "arrays": lambda n: "ARRAY[" * n + "1" + "]" * n,
    "cases": lambda n: "CASE WHEN a THEN b ELSE " * n + "1" + " END" * n,
    "joins": lambda n: "1 FROM a" + " JOIN b ON true" * n,
    "unions": lambda n: "1" + " UNION SELECT 1" * n,
    "subscripts": lambda n: "a" + "[1]" * n,
    "comments": lambda n: "/* " * n + "*/ " * n + "1",
}


@pytest.mark.parametrize("depth", [50, MAX_NESTING - 1, 2_000, 10_000])
@pytest.mark.parametrize("form", DEEP)
def test_however_deep_a_text_is_it_is_only_refused(form, depth):
    assert refused(f"SELECT {DEEP[form](depth)}")


@pytest.mark.parametrize("run", ["+", "/*", "+-", "/**/", "=+"])
def test_a_long_run_of_operators_is_refused_before_it_is_scanned(run):
    (found,) = decide_text(compiled(*EVERY), f"{PAID} {run * 256}")
    assert "in a row" in found.reason


@pytest.mark.parametrize(
    "text", ["SELECT 1 é" + "é" * 4_000 + " 1 1", "SELECT \u202e 1", 'SELECT 1 "' + "é" * 90]
)
def test_a_reason_quotes_little_and_nothing_invisible(text):
    (found,) = decide_text(compiled(*EVERY), text)
    assert len(found.reason) < 250
    assert found.reason.isprintable()


@given(st.text(max_size=80))
def test_no_text_raises(text):
    every = compiled(*EVERY)
    for one in (text, f"{PAID}{text}", f"SELECT {text}", PAID.replace("paid", text.replace("'", "''"))):
        decide_text(every, one)
        prepare(every, one)


def test_a_long_list_of_values_is_not_deep():
    numbers = ", ".join(map(str, range(5_000)))
    (found,) = decide_text(compiled(*EVERY), f"SELECT id FROM orders WHERE id IN ({numbers}) LIMIT 1")
    assert not isinstance(found, Refused)
