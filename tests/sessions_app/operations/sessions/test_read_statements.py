"""Reading back what the holder of a grant ran on a database."""

import datetime as dt

import psycopg
import pytest

from broker.kernel import clock
from sessions_app.models import CommandRun, Lease, RunState, Session
from sessions_app.operations.sessions.read_statements import AFTER_THE_END, leases_to_read, read_statements
from sessions_app.queries.grants.comparisons import comparison
from tests.sessions_app.connectors.postgres.conftest import nothing_left, shop  # noqa: F401
from tests.sessions_app.connectors.postgres.test_statements import log_allowed  # noqa: F401
from tests.sessions_app.connectors.postgres.test_whole_grant import end, grant, login  # noqa: F401
from tests.support.waits import eventually
from tests.support.world.acts import events, intact, last


@pytest.fixture
def lease(grant, shop):  # noqa: F811
    """The lease of Alice's grant, on a server that lets Stint see what runs."""
    shop.admin("GRANT pg_read_all_stats TO stint_broker")
    yield grant.leases.get()
    shop.admin("REVOKE pg_read_all_stats FROM stint_broker")


def read(lease) -> int:
    return read_statements(lease_id=lease.pk, now=clock.now)


def test_each_statement_is_written_down_once_as_a_run_of_the_grant(world, lease):
    with login(world, lease.grant) as session:
        session.execute("SELECT 'mine'")
        assert read(lease) == 1
        assert read(lease) == 0
        session.execute("SELECT 'and another'")
        assert read(lease) == 1
    runs = CommandRun.objects.filter(grant=lease.grant).order_by("pk")
    assert [(run.line, run.state, run.target) for run in runs] == [
        ("SELECT 'mine'", RunState.DONE, lease.target),
        ("SELECT 'and another'", RunState.DONE, lease.target),
    ]
    # Connections come and go on the server; Stint holds none of them open.
    assert Session.objects.get(grant=lease.grant).closed_at is not None
    entry = last("command.observed", lease.grant.ref)
    assert (entry.actor, entry.data["statement"], entry.data["database"]) == (
        "alice",
        "SELECT 'and another'",
        "shop",
    )
    assert events(lease.grant.ref).count("command.observed") == 2
    assert intact()


def test_a_statement_that_ended_in_an_error_was_run(world, lease, log_allowed):  # noqa: F811
    with login(world, lease.grant) as session, pytest.raises(psycopg.Error):
        session.execute("SELECT 1 / 0")
    failed = CommandRun.objects.filter(grant=lease.grant, reason="division by zero")
    eventually(lambda: read(lease) >= 0 and failed.exists(), within=20)
    run = failed.get()
    assert (run.line, run.state) == ("SELECT 1 / 0", RunState.DONE)
    runs = CommandRun.objects.filter(grant=lease.grant).count()
    assert [row["times"] for row in comparison(lease.grant, run.ended_at)["targets"]] == [runs]


def test_leases_are_read_while_they_may_be_used_and_for_a_minute_after(world, lease):
    assert leases_to_read(now=clock.now()) == [lease.pk]
    ended = end(world, lease.grant).ended_at
    assert leases_to_read(now=ended + AFTER_THE_END - dt.timedelta(seconds=1)) == [lease.pk]
    assert leases_to_read(now=ended + AFTER_THE_END) == []


def test_no_lease_is_read_where_the_set_up_does_not_ask_for_it_or_nothing_is_made(world, lease):
    Lease.objects.filter(pk=lease.pk).update(made_until=None)
    assert leases_to_read(now=clock.now()) == []
    lease.connection.pop("read_statements")
    Lease.objects.filter(pk=lease.pk).update(made_until=lease.made_until, connection=lease.connection)
    assert leases_to_read(now=clock.now()) == []
