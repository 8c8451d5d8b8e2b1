"""One gateway in a process: it hears of ends at once, fails as a whole when a part of it fails, and leaves without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from django.db import OperationalError, connections

from broker.kernel import clock
from sessions_app.gateways.core.database import Database, NotTaken
from sessions_app.gateways.core.lease import LOST, Known, Question
from sessions_app.gateways.core.node import Node
from tests.support.databases import no_new_connections
from tests.support.steady import Steady
from tests.support.waits import comes_true
from tests.support.world.acts import session, use
from tests.support.world.holders import START, Holder, holder_of, passes, play_out, session_of, settle

NAME = "gateway-1"
KNOWN = Known(name=NAME, version="1.2")
LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'stint-listen'"
GONE = OperationalError("the database is gone")


@pytest.fixture
def world(lone_db, live_world):
    return live_world


@dataclass
class Place:
    """A node, and what it has called."""

    node: Node
    database: Database
    asked: list[Exception | None]
    called: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        node = self.node
        node.on_hold = lambda run_id: self.called.append(("hold", run_id))
        node.on_order.append(lambda: self.called.append("order"))
        node.on_heard = lambda: self.called.append(("heard", len(node.registry.sessions())))
        node.on_failed = lambda: self.called.append("failed")

    def open(self, grant, *, now, row: bool = False, **more) -> Holder:
        used = use(grant, now=now)
        opened = session_of(self.node.registry, used, row=session(used, now=now) if row else None)
        return holder_of(opened, **more)


@contextlib.asynccontextmanager
async def begun() -> AsyncIterator[Place]:
    """A node with its lease, which is not started yet. Its renewals fail as the list in ``asked`` says."""
    asked: list[Exception | None] = []

    def ask() -> None:
        if asked and (failure := asked.pop(0)) is not None:
            raise failure

    database = Database(threads=2, name="ends")
    node = await Node.begin(KNOWN, database=database)
    node.lease.questions.append(Question(ask=ask, take=lambda _: None))
    place = Place(node, database, asked)
    try:
        yield place
    finally:
        node.lease.stop()
        database.stop()


def with_node(scenario) -> None:
    """Run a scenario with a node of its own."""

    async def run() -> None:
        async with begun() as place:
            await scenario(place)

    play_out(run)


async def started(place: Place) -> None:
    """Start the node and wait until it listens and has caught up."""
    renewed: list[None] = []
    place.node.lease.on_renewed.append(lambda: renewed.append(None))
    place.node.start()
    await comes_true(lambda: renewed)
    place.called.clear()


def revoke(world, grant) -> None:
    from sessions_app.models import EndReason
    from sessions_app.operations.grants.end_grant import end_grant

    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=clock.now())


def row_of_gateway():
    from sessions_app.models import GatewayNode

    return GatewayNode.objects.get(name=NAME)


def cut_off(app, *, but: str = "") -> None:
    """End the application's connections at the server, except those of a name, and wait until they are gone."""
    app.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() "
        "AND usename = current_user AND pid <> pg_backend_pid() AND application_name <> %s",
        [but],
    )


# Beginning


def test_a_node_begins_with_its_lease_and_the_databases_time(world, monkeypatch):
    # The reading of the renewal is not replaced by another one, however late it is looked at.
    monkeypatch.setattr(clock, "_RESYNC_AFTER", 3600.0)

    async def scenario(place):
        assert place.node.id == row_of_gateway().pk
        assert place.node.lease.lost == ""
        before, said, after = clock.now(), place.node.clock.now(), clock.now()
        assert (before - said).total_seconds() < 1e-5
        assert (said - after).total_seconds() < 1e-5
        assert place.node.registry.clock is place.node.clock

    with_node(scenario)


def test_a_node_without_its_lease_yet_is_no_gateway_and_goes_by_the_reading_that_it_was_given(monkeypatch):
    steady = Steady()
    monkeypatch.setattr("sessions_app.gateways.core.clock.time", steady)

    async def scenario():
        database = Database(threads=1, name="ends")
        node = Node(KNOWN, database=database, reading=clock.Reading(START, steady.at - 50))
        assert node.clock.now() == START + dt.timedelta(seconds=50)
        assert node.id == 0
        node.lease.stop()
        database.stop()

    play_out(scenario)


def test_a_node_keeps_the_deadlines_of_what_is_opened_in_it_by_its_own_clock(world):
    grant = world.grant()

    async def scenario(place):
        own, reading = place.node.clock, clock.sync()
        used = replace(use(grant, now=world.now), expires_at=own.now() + dt.timedelta(seconds=9))
        # Its timer is set some time later, and is shorter by that.
        holder = holder_of(session_of(place.node.registry, used))
        await passes(4)
        assert holder.stopped == ""
        own.set(reading.database + dt.timedelta(seconds=30), reading.monotonic)
        await passes(5.5)
        assert holder.stopped == "expired"

    with_node(scenario)


def test_a_node_without_a_door_that_asks_begins_as_well(world):
    async def scenario():
        database = Database(threads=1, name="ends")
        node = await Node.begin(KNOWN, database=database)
        assert node.id > 0
        for call in (node.on_heard, node.on_failed):
            call()
        node.on_hold(1)
        node.lease.stop()
        database.stop()

    play_out(scenario)


def test_a_node_without_its_lease_does_not_begin_and_leaves_no_thread_behind(world):
    def leases() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("lease_")]

    async def scenario():
        before = len(leases())
        database = Database(threads=1, name="ends")
        with pytest.raises(NotTaken) as raised:
            await Node.begin(replace(KNOWN, name="x" * 1000), database=database)
        # The error keeps all of it alive, so that nothing is cleared up by chance.
        assert raised.value.__traceback__ is not None
        await comes_true(lambda: len(leases()) <= before)
        database.stop()

    play_out(scenario)


# Hearing


def test_what_was_revoked_while_nobody_listened_is_cut_once_the_node_listens(world):
    grant = world.grant()

    async def scenario(place):
        holder = place.open(grant, now=world.now)
        revoke(world, grant)
        place.node.start()
        # Time stands still, so no renewal is due.
        await comes_true(lambda: holder.stopped)
        assert (holder.stopped, place.called) == ("revoked", ["order"])

    with_node(scenario)


def test_a_revoke_is_heard_at_once_and_said_after_the_cut(world):
    grant, other = world.grant(), world.grant()

    async def scenario(place):
        holder, kept = place.open(grant, now=world.now), place.open(other, now=world.now)
        await started(place)
        revoke(world, grant)
        await comes_true(lambda: place.called)
        assert (holder.stopped, kept.stopped) == ("revoked", "")
        assert place.called[0] == ("heard", 1)

    with_node(scenario)


def test_orders_and_decisions_reach_the_door(world, app_connection):
    async def scenario(place):
        await started(place)
        app_connection.execute("NOTIFY stint_order")
        app_connection.execute("NOTIFY stint_hold, '7'")
        await comes_true(lambda: len(place.called) >= 2)
        assert place.called == ["order", ("hold", 7)]

    with_node(scenario)


def test_a_started_node_renews_its_lease_each_second(world):
    async def scenario(place):
        renewed: list[None] = []
        await started(place)
        place.node.lease.on_renewed.append(lambda: renewed.append(None))
        await passes(1.01)
        await comes_true(lambda: renewed)
        assert place.called == []

    with_node(scenario)


def test_news_that_could_not_be_looked_at_are_passed_on_and_the_node_goes_on(world, app_connection):
    grant = world.grant()

    async def scenario(place):
        holder = place.open(grant, now=world.now)
        await started(place)
        with no_new_connections(app_connection):
            cut_off(app_connection, but="stint-listen")
            app_connection.execute("SELECT pg_notify('stint_grant', %s)", [str(grant.pk)])
            await comes_true(lambda: place.called)
            await settle()
        assert place.called == [("heard", 1)]
        assert holder.stopped == ""

    with_node(scenario)
    connections.close_all()


def test_a_renewal_that_fails_when_the_node_begins_to_listen_is_left_to_the_next_one(world, app_connection):
    async def scenario(place):
        place.asked[:] = [GONE]
        place.node.start()
        await comes_true(lambda: not place.asked)
        app_connection.execute("NOTIFY stint_hold, '7'")
        await comes_true(lambda: ("hold", 7) in place.called)
        assert place.called == ["order", ("hold", 7)]

    with_node(scenario)


# Parts


async def _fails() -> None:
    raise ValueError("a fault")


async def _returns() -> None:
    pass


@pytest.mark.parametrize(("part", "error"), [(_fails, "ValueError('a fault')"), (_returns, "None")])
def test_a_part_that_fails_or_ends_fails_the_node(world, caplog, part, error):
    async def scenario(place):
        place.node.keep(part(), "alone")
        await settle()
        assert place.called == ["failed"]

    with_node(scenario)
    failed = [entry.msg for entry in caplog.records if entry.msg["event"] == "gateway.part_failed"]
    assert [(one["part"], one["error"]) for one in failed] == [("alone", error)]


def test_a_lease_that_the_database_refuses_fails_the_node(world, caplog):
    async def scenario(place):
        await started(place)
        place.asked[:] = [ValueError("a fault of the door")]
        await passes(1.01)
        await comes_true(lambda: place.called)
        assert place.called == ["failed"]

    with_node(scenario)
    assert [one.msg["part"] for one in caplog.records if one.msg["event"] == "gateway.part_failed"] == [
        "lease"
    ]


def test_a_listener_that_fails_fails_the_node(world, app_connection, caplog):
    async def scenario(place):
        def order() -> None:
            raise ValueError("a fault of the door")

        await started(place)
        place.node.on_hold = lambda _: None
        place.node.on_heard = order
        app_connection.execute("NOTIFY stint_grant, '1'")
        await comes_true(lambda: place.called)
        assert place.called == ["failed"]

    with_node(scenario)
    assert [one.msg["part"] for one in caplog.records if one.msg["event"] == "gateway.part_failed"] == [
        "listener"
    ]


@pytest.mark.parametrize("stop", ["close", "leave"])
def test_a_part_that_fails_while_the_node_stops_fails_nothing_more(world, caplog, stop):
    async def scenario(place):
        go = asyncio.Event()

        async def part() -> None:
            try:
                await go.wait()
            finally:
                raise ValueError("a fault")

        place.node.keep(part(), "alone")
        await settle()
        if stop == "close":
            await place.node.close("stopping")
            go.set()
            await settle()
        else:
            with contextlib.suppress(ValueError):
                await place.node.leave()
        (task,) = place.node._tasks
        assert isinstance(task.exception(), ValueError)
        await settle()
        assert place.called == []

    with_node(scenario)
    assert not [entry for entry in caplog.records if entry.msg["event"] == "gateway.part_failed"]


def test_a_part_that_was_canceled_fails_nothing(world):
    async def scenario(place):
        place.node.keep(asyncio.Event().wait(), "alone")
        await settle()
        place.node._tasks[0].cancel()
        await settle()
        assert place.called == []

    with_node(scenario)


# Closing and leaving


def test_closing_cuts_everybody_and_waits_until_they_are_gone(world):
    grants = [world.grant(), world.grant()]

    async def scenario(place):
        quick = place.open(grants[0], now=world.now)
        slow = place.open(grants[1], now=world.now, slow=True)
        closing = asyncio.create_task(place.node.close("the gateway is stopping"))
        await passes(1.4)
        assert (quick.stopped, slow.stopped) == ("the gateway is stopping",) * 2
        assert not closing.done()
        slow.session.leave(slow)
        await settle()
        assert closing.done()
        assert closing.exception() is None

    with_node(scenario)


def test_closing_waits_no_longer_than_a_second_and_a_half_for_who_is_slow(world):
    grant = world.grant()

    async def scenario(place):
        place.open(grant, now=world.now, slow=True)
        closing = asyncio.create_task(place.node.close("the gateway is stopping"))
        await settle()
        await passes(1.49)
        assert not closing.done()
        await passes(0.02)
        assert closing.done()
        assert closing.exception() is None

    with_node(scenario)


def test_leaving_says_that_the_gateway_is_gone_and_closes_what_it_had_open(world, owner_connection):
    from sessions_app.models import Session

    grant = world.grant()

    async def scenario(place):
        await started(place)
        lost = session(use(grant, now=world.now), now=world.now)
        before = clock.now()
        assert await place.node.leave() is True
        assert before <= row_of_gateway().stopped_at <= clock.now()
        assert Session.objects.get(pk=lost).close_reason == "gateway stopped"
        assert all(task.done() for task in place.node._tasks)
        count = f"SELECT count(*) {LISTENERS}"
        await comes_true(lambda: owner_connection.execute(count).fetchone() == (0,))
        assert place.called == []

    with_node(scenario)


def test_leaving_ends_the_renewals_without_cutting_anything(world):
    grant = world.grant()

    async def scenario(place):
        holder = place.open(grant, now=world.now)
        await started(place)
        await place.node.leave()
        await passes(100)
        assert (place.node.lease.lost, holder.stopped) == ("", "")
        assert place.node.lease.lost != LOST

    with_node(scenario)


def test_leaving_waits_for_the_reports_of_ends(world):
    from sessions_app.models import Session

    grant = world.grant()

    async def scenario(place):
        holder = place.open(grant, now=world.now, row=True)
        await place.node.close("the gateway is stopping")
        assert await place.node.leave() is True
        assert Session.objects.get(pk=holder.session.id).close_reason == "the gateway is stopping"

    with_node(scenario)


def test_leaving_waits_two_seconds_for_reports_that_are_not_taken_and_says_so(world):
    def report(**_: object) -> None:
        raise GONE

    async def scenario(place):
        place.node.registry.reports.send("a session", report, plain={})
        leaving = asyncio.create_task(place.node.leave())
        await settle()
        await passes(1.99)
        assert not leaving.done()
        await passes(0.02)
        await comes_true(leaving.done)
        assert leaving.result() is False
        # That the gateway is gone is recorded all the same.
        assert row_of_gateway().stopped_at is not None

    with_node(scenario)


def test_leaving_waits_one_second_for_its_row_and_no_longer(world, owner_connection):
    async def scenario(place):
        with owner_connection.transaction(force_rollback=True):
            owner_connection.execute("SELECT FROM sessions_app_gatewaynode FOR UPDATE")
            leaving = asyncio.create_task(place.node.leave())
            await comes_true(lambda: waits_for_a_lock())
            await passes(0.99)
            assert not leaving.done()
            await passes(0.02)
            assert leaving.done()
            assert leaving.result() is True

    with_node(scenario)


def waits_for_a_lock() -> bool:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        return cursor.fetchone()[0]


def test_leaving_without_a_database_is_leaving_all_the_same(world, app_connection):
    async def scenario(place):
        with no_new_connections(app_connection):
            cut_off(app_connection)
            assert await place.node.leave() is True

    with_node(scenario)
    connections.close_all()
