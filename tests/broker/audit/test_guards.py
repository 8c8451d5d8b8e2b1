"""The database refuses to change the record: by privileges to the application, by triggers to the owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from broker.audit.models import AuditEntry
from broker.audit.verify import verify
from tests.broker.audit.build import AT, bulk_build

COLUMNS = "(log, seq, at, event, actor, object_type, object_ref, body, prev_hash, hash)"
VALUES = f"SELECT {COLUMNS[1:-1].replace('seq', '999999999')} FROM audit_entry LIMIT 1"
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
    "MERGE INTO audit_head h USING (SELECT 1) AS x ON h.log = 'main' WHEN MATCHED THEN DELETE",
]
# What only the owner of a table may do, and the ways around a guard that an owner's careless role could have.
TAKEOVERS = [
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "DROP TABLE audit_entry",
    "DROP TRIGGER audit_entry_append_only ON audit_entry",
    "CREATE TRIGGER mine BEFORE UPDATE ON audit_entry FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER FUNCTION audit_append(text, timestamptz, text, text, bigint, text, text, jsonb) SECURITY INVOKER",
    "CREATE TABLE mine (log text REFERENCES audit_head)",
    "SET session_replication_role = replica",
    "SET ROLE stint_owner",
    "SELECT 1 FROM audit_head FOR UPDATE",
    "COPY audit_entry (log) FROM STDIN",
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_owner_of_the_tables_is_refused(db: None, change: str) -> None:
    bulk_build(connection, 2)
    before = list(AuditEntry.objects.order_by("seq").values_list("seq", "hash"))
    with (
        pytest.raises(DatabaseError, match="is refused: (the record is append-only|entries are written by)"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)
    assert list(AuditEntry.objects.order_by("seq").values_list("seq", "hash")) == before


@pytest.mark.parametrize("change", [*CHANGES, *TAKEOVERS])
def test_the_application_is_refused(app_connection: Any, change: str) -> None:
    with (
        pytest.raises((psycopg.Error, DatabaseError), match=r"permission denied|must be (owner|able)"),
        app_connection.cursor() as cursor,
    ):
        cursor.execute(change)


def test_the_application_may_append_and_read(app_connection: Any) -> None:
    with app_connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_append('main', %s, 'ca.created', 'system:x', NULL, 'ca', 'CA-7', '{\"a\": 1}')",
            [AT],
        )
        (seq,) = cursor.fetchone()
        cursor.execute("SELECT object_ref FROM audit_entry WHERE log = 'main' AND seq = %s", [seq])
        assert cursor.fetchone() == ("CA-7",)


@pytest.fixture
def generous(app_connection: Any) -> Iterator[Any]:
    """The application's connection, after somebody granted its role every change to the record's tables."""
    bulk_build(connection, 2)
    tables = "audit_entry, audit_head"
    with app_connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_user)")
        (role,) = cursor.fetchone()
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT INSERT, UPDATE, DELETE, TRUNCATE ON {tables} TO {role}")
        yield app_connection
        cursor.execute(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {tables} FROM {role}")


@pytest.mark.parametrize("change", CHANGES)
def test_a_careless_grant_opens_nothing(generous: Any, change: str) -> None:
    """The triggers still refuse, even to one who pretends that an append is under way."""
    with (
        pytest.raises((psycopg.Error, DatabaseError), match="is refused: "),
        generous.cursor() as cursor,
    ):
        cursor.execute("SET stint.audit = 'append'")
        cursor.execute(change)
    assert verify(connection=connection).ok


def test_public_may_execute_nothing(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.proname FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
            " WHERE p.proname LIKE 'audit%%' AND a.grantee = 0"
        )
        assert cursor.fetchall() == []


def test_the_append_functions_run_as_their_owner_with_a_fixed_path(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc WHERE prosecdef AND proconfig = '{\"search_path=pg_catalog, pg_temp\"}'"
            " AND proname LIKE 'audit_append%%' ORDER BY 1"
        )
        assert cursor.fetchall() == [("audit_append",), ("audit_append_many",)]


def test_a_function_in_the_way_does_not_run_as_the_owner(db: None) -> None:
    """A temporary table does not stand in for the record's own."""
    append = "SELECT public.audit_append('main', %s, 'ca.created', 'system:x', NULL, 'ca', 'CA-1', '{}')"
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE audit_head (log text, seq bigint, hash bytea)")
        cursor.execute("INSERT INTO pg_temp.audit_head VALUES ('main', 41, sha256(''))")
        cursor.execute("SET LOCAL search_path = pg_temp, public")
        cursor.execute(append, [AT])
        (seq,) = cursor.fetchone()
        cursor.execute("SELECT seq FROM pg_temp.audit_head")
        assert cursor.fetchone() == (41,)
        cursor.execute("DROP TABLE pg_temp.audit_head")
        cursor.execute("SET LOCAL search_path = public")
        cursor.execute("SELECT seq FROM audit_head WHERE log = 'main'")
        assert cursor.fetchone() == (seq,)
