"""The database refuses to change the record: by privileges to the application, by triggers to the owner."""

from typing import Any

import psycopg
import pytest

from tests.broker.audit.build import AT

COLUMNS = "(log, seq, at, event, actor, object_type, object_ref, body, prev_hash, hash)"
VALUES = f"SELECT {COLUMNS[1:-1].replace('seq', '999999999')} FROM audit_entry LIMIT 1"
PENDING = (
    "(log, at, event, actor, actor_kind, object_type, refs, datas, can_wait)"
    " VALUES ('main', now(), 'ca.created', 'mallory', 'person', 'ca', '{CA-1}', ARRAY['{}'::jsonb], true)"
)
CHANGES = [
    "UPDATE audit_entry SET body = '{}'",
    "UPDATE audit_entry SET actor = 'mallory' WHERE seq = (SELECT max(seq) FROM audit_entry)",
    "DELETE FROM audit_entry",
    "TRUNCATE audit_entry",
    "TRUNCATE audit_entry, audit_head",
    f"INSERT INTO audit_entry {COLUMNS} {VALUES}",
    f"INSERT INTO audit_entry {COLUMNS} {VALUES} ON CONFLICT (log, seq) DO UPDATE SET body = '{{}}'",
    "UPDATE audit_head SET seq = 0",
    "DELETE FROM audit_head",
    "TRUNCATE audit_head",
    "INSERT INTO audit_head (log, seq, hash) VALUES ('other', 0, sha256(''))",
    "UPDATE audit_checkpoint SET note = 'another'",
    "DELETE FROM audit_checkpoint",
    "TRUNCATE audit_checkpoint",
    "UPDATE audit_key SET sealed_private_key = ''",
    "DELETE FROM audit_key",
    "TRUNCATE audit_key",
    f"INSERT INTO audit_pending {PENDING}",
    "UPDATE audit_pending SET can_wait = true",
    "DELETE FROM audit_pending",
    "TRUNCATE audit_pending",
    "MERGE INTO audit_head h USING (SELECT 1) AS x ON h.log = 'main' WHEN MATCHED THEN DELETE",
]
# What only the owner of a table may do, and the ways around a guard that an owner's careless role could have.
TAKEOVERS = [
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "DROP TABLE audit_entry",
    "DROP TRIGGER audit_entry_append_only ON audit_entry",
    "CREATE TRIGGER t AFTER INSERT ON audit_entry EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    (
        "ALTER FUNCTION audit_append_many(text, timestamptz, text, text, bigint, text, text[], jsonb[])"
        " SECURITY INVOKER"
    ),
    "CREATE TABLE mine (log text REFERENCES audit_head)",
    "SET session_replication_role = replica",
    "SET ROLE stint_owner",
    "SELECT 1 FROM audit_head FOR UPDATE",
    "COPY audit_entry (log) FROM STDIN",
]


Connection = psycopg.Connection[Any]


def refused(connection: Connection, change: str, answer: str) -> None:
    """Check that a statement is refused with an answer, and that the record is as it was."""
    connection.execute(
        "SELECT audit_append_many('main', now(), 'ca.created', 'system:x', NULL, 'ca', '{CA-1}',"
        " ARRAY['{}'::jsonb])"
    )
    connection.execute(
        "INSERT INTO audit_checkpoint SELECT log, seq, hash, now(), 'a note' FROM audit_head WHERE log ="
        " 'main'"
    )
    connection.execute(
        "INSERT INTO audit_key VALUES ('main', 'stint', 'sealed', now()) ON CONFLICT DO NOTHING"
    )
    before = whole(connection)
    with pytest.raises(psycopg.Error, match=answer):
        connection.execute(change)
    assert whole(connection) == before


def whole(connection: Connection) -> list[Any]:
    """Everything that nobody may change."""
    entries = connection.execute("SELECT log, seq, hash, body FROM audit_entry ORDER BY seq").fetchall()
    signed = connection.execute("SELECT * FROM audit_checkpoint ORDER BY size").fetchall()
    return [*entries, *signed, *connection.execute("SELECT * FROM audit_key").fetchall()]


@pytest.mark.parametrize("change", CHANGES)
def test_the_owner_of_the_tables_is_refused(owner_connection, change):
    refused(
        owner_connection,
        change,
        "is refused: (the record is append-only|entries are written by audit_write)",
    )


@pytest.mark.parametrize("change", [*CHANGES, *TAKEOVERS])
def test_the_application_is_refused(app_connection, change):
    refused(app_connection, change, "permission denied|must be (owner|able)")


@pytest.mark.parametrize("change", CHANGES)
def test_a_careless_grant_opens_nothing(app_connection, owner_connection, change):
    """The triggers still refuse, even to one who pretends that an append is under way."""
    owner_connection.execute(
        "GRANT INSERT, UPDATE, DELETE, TRUNCATE"
        " ON audit_entry, audit_head, audit_pending, audit_checkpoint, audit_key TO stint_app"
    )
    app_connection.execute("SELECT set_config('stint.audit', 'append', false)")
    refused(app_connection, change, "is refused: ")


def test_the_application_may_append_and_read(app_connection):
    row = app_connection.execute(
        "SELECT audit_append_many('main', %s, 'ca.created', 'system:x', NULL, 'ca', '{CA-7}',"
        " ARRAY['{}'::jsonb])",
        [AT],
    ).fetchone()
    assert row is not None
    refs = app_connection.execute("SELECT object_ref FROM audit_entry WHERE log = 'main' AND seq = %s", row)
    assert refs.fetchone() == ("CA-7",)


def test_no_other_function_of_the_record_changes_it(app_connection):
    """Only what appends runs with the owner's rights."""
    functions = app_connection.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND proname LIKE 'audit%' ORDER BY 1"
    ).fetchall()
    path = ["search_path=pg_catalog, pg_temp"]
    assert functions == [
        (name, path) for name in ("audit_append_at_commit", "audit_append_many", "audit_append_pending")
    ]


def test_public_may_execute_nothing(app_connection):
    grants = app_connection.execute(
        "SELECT p.proname FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
        " WHERE p.proname LIKE 'audit%' AND a.grantee = 0"
    )
    assert grants.fetchall() == []


def test_a_table_in_the_way_does_not_stand_in_for_the_record(app_connection):
    app_connection.execute("CREATE TEMP TABLE audit_head (log text, seq bigint, hash bytea)")
    app_connection.execute("INSERT INTO pg_temp.audit_head VALUES ('main', 41, sha256(''))")
    app_connection.execute("SET search_path = pg_temp, public")
    append = (
        "SELECT public.audit_append_many('main', %s, 'ca.created', 'system:x', NULL, 'ca', '{CA-1}',"
        " ARRAY['{}'::jsonb])"
    )
    row = app_connection.execute(append, [AT]).fetchone()
    assert app_connection.execute("SELECT seq FROM pg_temp.audit_head").fetchone() == (41,)
    assert app_connection.execute("SELECT seq FROM public.audit_head WHERE log = 'main'").fetchone() == row


@pytest.mark.parametrize("size", ["h.seq + 1", "h.seq - 1", "h.seq"])
def test_a_checkpoint_is_larger_than_the_one_before_and_not_than_the_log(app_connection, size):
    add = (
        "INSERT INTO audit_checkpoint SELECT 'main', {}, h.hash, now(), 'a note' FROM audit_head h WHERE log"
        " = 'main'"
    )
    for ref in ("CA-1", "CA-2"):
        app_connection.execute(
            "SELECT audit_append_many('main', now(), 'ca.created', 'system:x', NULL, 'ca', ARRAY[%s],"
            " ARRAY['{}'::jsonb])",
            [ref],
        )
    app_connection.execute(add.format("h.seq"))
    with pytest.raises(psycopg.Error, match="not larger than the one before, or larger than the log"):
        app_connection.execute(add.format(size))
