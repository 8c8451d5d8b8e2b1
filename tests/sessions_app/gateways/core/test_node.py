"""One gateway in a process: ends reach it at once, it fails as a whole if a task fails, and it shuts down
cleanly.
"""

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from django.db import InternalError, OperationalError, connection, connections

from broker.kernel import clock
from sessions_app.gateways.core.database import Database, NotTaken
from sessions_app.gateways.core.lease import Known, Question
from sessions_app.gateways.core.node import Node
from sessions_app.models import GatewayNode, Session
from sessions_app.operations.sessions.renew_gateway import Renewed
from tests.support.databases import no_new_connections
from tests.support.waits import comes_true
from tests.support.world.acts import revoke, session, use
from tests.support.world.holders import Holder, holder_of, passes, session_of, settle

NAME = "gateway-1"
KNOWN = Known(name=NAME, version="1.2")
LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
GONE = OperationalError("the database is gone")


@dataclass
class Running:
    """A node, and the callbacks that it made."""

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
async def begun() -> AsyncIterator[Running]:
    """Yield a node with its lease, not started yet. Its renewals fail as listed in ``asked``."""
    asked: list[Exception | None] = []

    def ask(_: Renewed) -> None:
        if asked and (failure := asked.pop(0)) is not None:
            raise failure

    database = Database(threads=2, name="ends")
    node = await Node.begin(KNOWN, database=database)
    node.lease.questions.append(Question(ask=ask, take=lambda _: None))
    running = Running(node, database, asked)
    try:
        yield running
    finally:
        node.lease.stop()
        database.stop()


@pytest.fixture
def running(world):
    return begun()


async def started(running: Running) -> None:
    """Start the node and wait until it listens and has caught up."""
    renewed: list[None] = []
    running.node.lease.on_renewed.append(lambda: renewed.append(None))
    running.node.start()
    await comes_true(lambda: renewed)
    running.called.clear()


def row_of_gateway():
    return GatewayNode.objects.get(name=NAME)


def parts_failed(caplog) -> list[str]:
    return [one.msg["part"] for one in caplog.records if one.msg["event"] == "gateway.part_failed"]


@pytest.fixture
def cut_off(app_connection):
    """End the application's connections at the server, except those with this last query, and wait until they
    are closed.
    """

    def cut_off(but: str = "") -> None:
        app_connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = current_user AND pid <> pg_backend_pid() AND query NOT LIKE %s",
            [but],
        )

    yield cut_off
    connections.close_all()


# Beginning


async def test_a_node_begins_with_its_lease_and_keeps_one_clock(running):
    assert running.node.id == row_of_gateway().pk
    assert running.node.lease.lost == ""
    assert running.node.registry.clock is running.node.clock


async def test_a_node_keeps_the_deadlines_of_what_is_opened_in_it_by_its_own_clock(world, running):
    grant = world.grant()
    own, reading = running.node.clock, clock.sync()
    used = replace(use(grant, now=world.now), expires_at=own.now() + dt.timedelta(seconds=9))
    # Its timer is set some time later, and is shorter by that time.
    holder = holder_of(session_of(running.node.registry, used))
    await passes(4)
    assert holder.stopped == ""
    own.set(reading.database + dt.timedelta(seconds=30), reading.monotonic)
    await passes(5.5)
    assert holder.stopped == "expired"


@pytest.mark.usefixtures("world")
async def test_a_node_without_its_lease_does_not_begin_and_leaves_no_thread_behind():
    def leases() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("lease_")]

    before = len(leases())
    database = Database(threads=1, name="ends")
    with pytest.raises(NotTaken) as raised:
        await Node.begin(replace(KNOWN, name="x" * 1000), database=database)
    # The error keeps all of it referenced, so that nothing is cleaned up by chance.
    assert raised.value.__traceback__ is not None
    await comes_true(lambda: len(leases()) <= before)
    database.stop()


# Hearing


async def test_what_was_revoked_while_nobody_listened_is_cut_once_the_node_listens(world, running):
    grant = world.grant()
    holder = running.open(grant, now=world.now)
    revoke(grant)
    running.node.start()
    # Time is frozen, so no renewal is due.
    await comes_true(lambda: holder.stopped)
    assert (holder.stopped, running.called) == ("revoked", ["order"])


async def test_a_revoke_is_heard_at_once_and_said_after_the_cut(world, running):
    grant, other = world.grant(), world.grant()
    holder, kept = running.open(grant, now=world.now), running.open(other, now=world.now)
    await started(running)
    revoke(grant)
    await comes_true(lambda: running.called)
    assert (holder.stopped, kept.stopped) == ("revoked", "")
    assert running.called[0] == ("heard", 1)


async def test_orders_and_decisions_reach_the_endpoint(app_connection, running):
    await started(running)
    app_connection.execute("NOTIFY stint_order")
    app_connection.execute("NOTIFY stint_hold, '7'")
    await comes_true(lambda: len(running.called) >= 2)
    assert running.called == ["order", ("hold", 7)]


async def test_news_that_could_not_be_looked_at_are_passed_on_and_the_node_goes_on(
    world, app_connection, cut_off, running
):
    grant = world.grant()
    holder = running.open(grant, now=world.now)
    await started(running)
    with no_new_connections(app_connection):
        cut_off(but="LISTEN%")
        app_connection.execute("SELECT pg_notify('stint_grant', %s)", [str(grant.pk)])
        await comes_true(lambda: running.called)
        await settle()
    assert running.called == [("heard", 1)]
    assert holder.stopped == ""


async def test_a_renewal_that_fails_when_the_node_begins_to_listen_is_left_to_the_next_one(
    app_connection, running
):
    running.asked[:] = [GONE]
    running.node.start()
    await comes_true(lambda: not running.asked)
    app_connection.execute("NOTIFY stint_hold, '7'")
    await comes_true(lambda: ("hold", 7) in running.called)
    assert running.called == ["order", ("hold", 7)]


# Tasks


async def _fails() -> None:
    raise ValueError("a fault")


async def _returns() -> None:
    pass


@pytest.mark.parametrize(("part", "error"), [(_fails, "ValueError('a fault')"), (_returns, "None")])
async def test_a_part_that_fails_or_ends_fails_the_node(caplog, part, error, running):
    running.node.keep(part(), "alone")
    await settle()
    assert running.called == ["failed"]
    assert parts_failed(caplog) == ["alone"]
    assert error in caplog.text


async def test_a_lease_that_the_database_refuses_fails_the_node(caplog, running):
    await started(running)
    running.asked[:] = [InternalError("no")]
    await passes(1.01)
    await comes_true(lambda: running.called)
    assert running.called == ["failed"]
    assert parts_failed(caplog) == ["lease"]


async def test_a_listener_that_fails_fails_the_node(app_connection, caplog, running):
    def heard() -> None:
        raise ValueError("a fault of the endpoint")

    await started(running)
    running.node.on_heard = heard
    app_connection.execute("NOTIFY stint_grant, '1'")
    await comes_true(lambda: running.called)
    assert running.called == ["failed"]
    assert parts_failed(caplog) == ["listener"]


@pytest.mark.parametrize("stop", ["close", "leave"])
async def test_a_part_that_fails_while_the_node_stops_fails_nothing_more(caplog, stop, running):
    go = asyncio.Event()

    async def part() -> None:
        try:
            await go.wait()
        finally:
            raise ValueError("a fault")

    running.node.keep(part(), "alone")
    await settle()
    if stop == "close":
        await running.node.close("stopping")
        go.set()
        await settle()
    else:
        with contextlib.suppress(ValueError):
            await running.node.leave()
    (task,) = running.node._tasks
    assert isinstance(task.exception(), ValueError)
    await settle()
    assert running.called == []
    assert not parts_failed(caplog)


# Closing and leaving


@pytest.mark.parametrize("leaves", [True, False])
async def test_closing_cuts_everybody_and_waits_a_second_and_a_half_for_who_is_slow(world, running, leaves):
    quick, slow = (running.open(world.grant(), now=world.now, slow=slow) for slow in (False, True))
    closing = asyncio.create_task(running.node.close("the gateway is stopping"))
    await settle()
    await passes(1.49)
    assert (quick.stopped, slow.stopped) == ("the gateway is stopping",) * 2
    assert not closing.done()
    if leaves:
        slow.session.leave(slow)
    await passes(0.0 if leaves else 0.02)
    assert closing.done()
    assert closing.exception() is None


async def test_leaving_says_that_the_gateway_is_gone_and_closes_what_it_had_open(
    world, owner_connection, running
):
    grant = world.grant()
    await started(running)
    lost = session(use(grant, now=world.now), now=world.now)
    before = clock.now()
    assert await running.node.leave() is True
    assert before <= row_of_gateway().stopped_at <= clock.now()
    assert Session.objects.get(pk=lost).close_reason == "gateway stopped"
    assert all(task.done() for task in running.node._tasks)
    count = f"SELECT count(*) {LISTENERS}"
    await comes_true(lambda: owner_connection.execute(count).fetchone() == (0,))
    assert running.called == []


async def test_leaving_waits_for_the_reports_of_ends(world, running):
    grant = world.grant()
    holder = running.open(grant, now=world.now, row=True)
    await running.node.close("the gateway is stopping")
    assert await running.node.leave() is True
    assert Session.objects.get(pk=holder.session.id).close_reason == "the gateway is stopping"


async def test_leaving_waits_two_seconds_for_reports_that_are_not_taken_and_says_so(running):
    def report(**_: object) -> None:
        raise GONE

    running.node.registry.reports.send("a session", report, plain={})
    leaving = asyncio.create_task(running.node.leave())
    await settle()
    await passes(1.99)
    assert not leaving.done()
    await passes(0.02)
    await comes_true(leaving.done)
    assert leaving.result() is False
    # The gateway's stop is recorded all the same.
    assert row_of_gateway().stopped_at is not None


async def test_leaving_waits_one_second_for_its_row_and_no_longer(owner_connection, running):
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM sessions_app_gatewaynode FOR UPDATE")
        leaving = asyncio.create_task(running.node.leave())
        await comes_true(waits_for_a_lock)
        await passes(0.99)
        assert not leaving.done()
        await passes(0.02)
        assert leaving.done()
        assert leaving.result() is True


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND"
            " wait_event_type = 'Lock')"
        )
        return cursor.fetchone()[0]


async def test_leaving_without_a_database_is_leaving_all_the_same(app_connection, cut_off, running):
    with no_new_connections(app_connection):
        cut_off()
        assert await running.node.leave() is True
