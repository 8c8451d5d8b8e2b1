"""The gateway process: its endpoints open once it has its lease, and everything ends together."""

import asyncio
import os
import signal
import socket
from dataclasses import dataclass, field

import pytest
from django.db import OperationalError

from sessions_app.gateways.core import process
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.process import STOPPING, CannotListen, Gateway, Options
from sessions_app.models import GatewayNode
from tests.support.waits import comes_true
from tests.support.world.acts import use
from tests.support.world.holders import holder_of, session_of

pytestmark = pytest.mark.usefixtures("world")


NAME = "gateway-1"


@dataclass
class Recorded:
    """An endpoint that records its calls. It listens on a port if it has one."""

    name: str
    log: list[str]
    port: int | None = None
    failure: Exception | None = None
    shared: list[Shared] = field(default_factory=list)
    server: asyncio.Server | None = None

    async def open(self, shared: Shared) -> None:
        self.shared.append(shared)
        if self.port is not None:
            self.server = await asyncio.start_server(lambda *_: None, "127.0.0.1", self.port)
        self.log.append(f"{self.name} opens at {shared.node.id > 0}")

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
        why = self.shared[0].closed_because() if self.shared else "never opened"
        self.log.append(f"{self.name} closes: {why}")
        if self.failure is not None:
            raise self.failure


def row():
    return GatewayNode.objects.get(name=NAME)


async def test_entry_points_open_with_the_lease_and_close_when_the_process_is_told_to_stop(world):
    log: list[str] = []
    endpoints = [Recorded("one", log, failure=RuntimeError("it fails")), Recorded("two", log)]
    running = asyncio.create_task(Gateway(Options(name=NAME), endpoints).run())
    await comes_true(lambda: len(log) == 2)
    assert log == ["one opens at True", "two opens at True"]
    one, two = (endpoint.shared[0] for endpoint in endpoints)
    assert one is two
    assert (one.name, one.closed_because()) == (NAME, "")
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert log[2:] == [f"one closes: {STOPPING}", f"two closes: {STOPPING}"]
    assert row().stopped_at is not None


@pytest.mark.parametrize("comes_back", [True, False])
async def test_while_the_database_is_away_it_waits_with_closed_endpoints_until_it_is_back_or_told_to_stop(
    world, monkeypatch, comes_back
):
    log: list[str] = []
    away, set_up = iter([True] * 3 + [not comes_back] * 1000), process._set_up

    def asked(**arguments: str) -> None:
        log.append("asks")
        if next(away):
            raise OperationalError("connection refused")
        set_up(**arguments)

    monkeypatch.setattr(process, "_set_up", asked)
    monkeypatch.setattr(process, "_AGAIN_S", 0)
    running = asyncio.create_task(Gateway(Options(name=NAME), [Recorded("one", log)]).run())
    await comes_true(lambda: len(log) >= 5)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert [line for line in log if line != "asks"] == (
        ["one opens at True", f"one closes: {STOPPING}"] if comes_back else []
    )


async def test_what_is_open_is_cut_before_the_endpoints_are_closed(world):
    log: list[str] = []
    endpoint, grant = Recorded("one", log), world.grant()
    running = asyncio.create_task(Gateway(Options(name=NAME), [endpoint]).run())
    await comes_true(lambda: log)
    used = use(grant, now=world.now)
    holder = holder_of(session_of(endpoint.shared[0].node.registry, used, row=None))
    os.kill(os.getpid(), signal.SIGINT)
    await running
    assert holder.stopped == STOPPING


async def test_a_endpoint_that_can_not_listen_is_named_and_the_others_are_closed(world):
    log: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        endpoints = [Recorded("one", log), Recorded("two", log, port=port), Recorded("three", log)]
        with pytest.raises(CannotListen, match=f"The two gateway can't start: .*{port}.*in use"):
            await Gateway(Options(name=NAME), endpoints).run()
    assert log[0] == "one opens at True"
    assert f"one closes: {STOPPING}" in log
    assert not any(line.startswith("three opens") for line in log)
    assert row().stopped_at is not None


async def test_a_gateway_that_lost_its_lease_says_so_to_its_endpoints(world):
    log: list[str] = []
    endpoint = Recorded("one", log)
    running = asyncio.create_task(Gateway(Options(name=NAME), [endpoint]).run())
    await comes_true(lambda: log)
    endpoint.shared[0].node.lease.lost = "its database is gone"
    assert endpoint.shared[0].closed_because() == "its database is gone"
    os.kill(os.getpid(), signal.SIGTERM)
    await running
