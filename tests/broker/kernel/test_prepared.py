"""Statements of operations that run often are planned once per connection."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.models import Identity
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.statement import Statement
from sessions_app.models import AccessRequest, Grant, GrantState, RequestState, Sweeper


def kept() -> list[str]:
    """The statements that PostgreSQL keeps a plan of for this connection, newest last."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements ORDER BY prepare_time")
        return [statement for (statement,) in cursor.fetchall()]


@prepared()
def named(username: str) -> Identity | None:
    return Identity.objects.filter(username=username).first()


def test_a_statement_is_prepared_once_for_all_values(live_world):
    assert [named(name).username for name in ("alice", "bob")] == ["alice", "bob"]
    assert len([one for one in kept() if "username" in one]) == 1


def test_only_statements_within_the_block_are_prepared(live_world):
    Identity.objects.filter(username="alice").first()
    assert not kept()


def test_members_of_enumerations_are_constants_so_that_partial_indexes_apply(live_world):
    with prepared():
        list(AccessRequest.objects.filter(state=RequestState.PENDING, ticket="100%", number=7))
        list(Grant.objects.filter(state__in=[GrantState.ACTIVE], ref="x"))
    of_requests, of_grants = kept()
    assert "'pending'" in of_requests
    assert "'100%'" not in of_requests
    assert "'active'" in of_grants


def test_prepared_statements_outlive_a_rollback_and_a_failure_with_those_of_hot_paths(live_world):
    hot = Statement("test_hot", "SELECT $1::int")
    hot([b"1"])

    @prepared()
    @transaction.atomic
    def fail() -> None:
        named("alice")
        for _ in range(2):
            Sweeper.objects.create(name="twice", seen_at="2026-01-01T00:00Z")

    with pytest.raises(IntegrityError):
        fail()
    assert hot([b"2"])
    assert [named(name).username for name in ("alice", "bob")] == ["alice", "bob"]
    assert len(kept()) == 3


def test_a_connection_whose_statements_an_upgrade_outdated_is_replaced(live_world):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE notes (note varchar(3))")

    @prepared()
    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT note FROM notes WHERE note <> %s", ["x"])

    read()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE notes ALTER note TYPE text")
    with pytest.raises(DatabaseError, match="cached plan"):
        read()
    connection.close_if_unusable_or_obsolete()
    assert connection.connection is None
    assert named("alice")
