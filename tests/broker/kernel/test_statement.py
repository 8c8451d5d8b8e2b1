"""Statements of the hot paths give what the database says, and nothing when it says nothing."""

import datetime as dt

import psycopg
import pytest
from django.db import OperationalError, connection, connections
from django.db.transaction import atomic

from broker.kernel.statement import DatabaseSilent, Statement, moment, number, text
from tests.support.threads import in_thread

ASKED = Statement(
    "test_asked",
    "SELECT $1::bigint, $2::text, $3::timestamptz, NULL::text, 'infinity'::timestamptz WHERE $1::bigint > 0",
)
BACKEND = Statement("test_backend", "SELECT pg_backend_pid()")


def test_values_come_back_as_they_are_stored(stint_db):
    now = dt.datetime(1999, 2, 3, 4, 5, 6, 789, tzinfo=dt.UTC)
    row = ASKED([b"5000000000", "Zoë".encode(), now.isoformat().encode()])
    assert (row.ntuples, number(row.get_value(0, 0)), text(row.get_value(0, 1))) == (1, 5_000_000_000, "Zoë")
    assert moment(row.get_value(0, 2)) == now
    assert text(row.get_value(0, 3)) == ""


@pytest.mark.parametrize("column", [3, 4])
def test_what_is_no_moment_is_refused(stint_db, column):
    row = ASKED([b"1", b"", b"2026-01-01"])
    with pytest.raises(ValueError, match="Invalid time"):
        moment(row.get_value(0, column))


def test_no_row_is_no_row(stint_db):
    assert ASKED([b"0", b"", b"2026-01-01"]).ntuples == 0


def test_it_sees_what_its_own_transaction_wrote(stint_db, django_user_model):
    counted = Statement("test_counted", "SELECT count(*) FROM accounts_identity WHERE username = $1::text")
    assert number(counted([b"zoe"]).get_value(0, 0)) == 0
    django_user_model.objects.create_user("zoe")
    assert number(counted([b"zoe"]).get_value(0, 0)) == 1


def test_a_new_connection_is_asked_like_the_first(stint_db):
    assert ASKED([b"1", b"", b"2026-01-01"]).ntuples == 1
    connection.close()
    assert ASKED([b"1", b"", b"2026-01-01"]).ntuples == 1


def test_two_connections_of_one_thread_are_asked_by_turns(stint_db):
    first, second = connections["default"], connections.create_connection("default")
    try:
        for by_turns in (first, second, first, second):
            connections["default"] = by_turns
            assert ASKED([b"1", b"", b"2026-01-01"]).ntuples == 1
    finally:
        connections["default"] = first
        second.close()


def test_after_an_error_in_a_savepoint_the_same_connection_is_asked_again(stint_db):
    with pytest.raises(DatabaseSilent), atomic():
        ASKED([b"none", b"", b"2026-01-01"])
    assert ASKED([b"1", b"", b"2026-01-01"]).ntuples == 1


def test_an_error_of_the_database_is_one_of_the_databases_errors(stint_db):
    with pytest.raises(DatabaseSilent, match="invalid input syntax"):
        ASKED([b"none", b"", b"2026-01-01"])
    assert issubclass(DatabaseSilent, OperationalError)


@pytest.mark.timing
def test_a_database_that_says_nothing_is_waited_for_no_longer_than_two_seconds(stint_db):
    sleeps = Statement("test_sleeps", "SELECT pg_sleep($1::float8)")
    with pytest.raises(DatabaseSilent, match="did not respond"):
        # Longer than this process may be kept from looking at its clock.
        sleeps([b"8"])
    assert ASKED([b"1", b"", b"2026-01-01"]).ntuples == 1


def test_a_connection_that_the_server_has_closed_is_replaced_before_it_is_asked(stint_db):
    def work() -> list[bytes | None]:
        before = BACKEND([])
        with psycopg.connect(stint_db.env["DATABASE_URL"], autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [number(before.get_value(0, 0))])
        return [before.get_value(0, 0), BACKEND([]).get_value(0, 0)]

    closed, used = in_thread(work)
    assert closed != used
