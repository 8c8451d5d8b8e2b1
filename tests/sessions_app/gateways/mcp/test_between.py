"""A grant that ends between the check of its token and the call: the call is refused and recorded."""

import asyncio
from typing import Any

import psycopg
import pytest

from broker.kernel import clock
from sessions_app.gateways.mcp.answers import Answer
from sessions_app.gateways.mcp.asked import Asked
from sessions_app.gateways.mcp.cluster import ClusterService
from sessions_app.gateways.mcp.uses import Uses
from sessions_app.models import CommandRun
from tests.support.servers.mcp_desk import desk
from tests.support.world.acts import last, revoke
from tests.support.world.mcp_site import add_desk, grant_on_desk, token_of

CALL = {"name": "read_ticket", "arguments": {"id": "T-42"}}


async def called(token: str, meanwhile) -> list[dict[str, Any]]:
    """Call a tool, with something done between the check and the call; return what was sent."""
    sent: list[dict[str, Any]] = []

    async def send(message) -> None:
        sent.append(message)

    uses = Uses()
    service = ClusterService("desk", uses)
    try:
        caller = await service.caller({"authorization": f"Bearer {token}"}, "127.0.0.1", "POST", b"")
        await uses.database.run(meanwhile)
        asked = Asked(
            method="tools/call", params=CALL, id=1, modern=True, headers={"accept": "application/json"}
        )
        gone = asyncio.create_task(asyncio.Event().wait())
        await service.call(caller, asked, Answer(send, asked), gone)
        gone.cancel()
    finally:
        await uses.stop()
    return sent


@pytest.fixture
def world(stint_db, live_world):
    with desk() as running:
        add_desk(live_world, running.port)
        live_world.now = clock.now()
        yield live_world
    # The gateway's threads would keep the database from being dropped.
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(stint_db.env["DATABASE_URL"], autocommit=True) as opened:
        opened.execute(f"SELECT pg_terminate_backend(pid) {others}")


def test_a_call_that_finds_its_grant_over_is_written_down(world):
    grant = grant_on_desk(world)
    token = token_of(grant, world)

    def end() -> None:
        revoke(grant)

    sent = asyncio.run(called(token, end))
    assert b"has ended" in b"".join(message.get("body", b"") for message in sent)
    entry = last("command.refused", grant.ref)
    assert (entry.data["code"], entry.data["target"]) == ("over", "desk")
    assert "T-42" in entry.data["line"]
    assert not CommandRun.objects.filter(grant=grant).exists()
