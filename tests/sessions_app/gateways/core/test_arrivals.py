"""Which connections get a slot at the web gateways' listener, and how long unauthenticated ones can
keep it.
"""

import asyncio
import contextlib

import pytest

from broker.kernel import trace_ids
from sessions_app.gateways.core.arrivals import HANDSHAKE_S, Limits
from tests.broker.kernel.test_tracing import spans
from tests.support.servers.web_sites import Echo, Listening, listening
from tests.support.waits import comes_true
from tests.support.world.holders import passes, settle

__all__ = ["spans"]
pytestmark = pytest.mark.usefixtures("world")


def limited(**limits: int) -> contextlib.AbstractAsyncContextManager[Listening]:
    """Return a listener with few slots."""
    return listening({"echo": Echo()}, limits=Limits(**limits))


async def status_of(connection, path: str) -> int:
    """Return the status of the response to a GET; 0 if the connection is cut."""
    reader, writer = connection
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        return int(head.split()[1])
    return 0


async def is_served(place: Listening, source: str) -> bool:
    """Whether a new connection from an address is answered."""
    with contextlib.suppress(OSError):
        connection = await place.connect(source=source)
        status = await status_of(connection, "/echo/a")
        connection[1].close()
        return status == 200
    return False


async def silent(place: Listening, source: str) -> asyncio.StreamWriter:
    """Open a connection that never starts its TLS handshake."""
    _, writer = await asyncio.open_connection("127.0.0.1", place.options.port, local_addr=(source, 0))
    await settle()
    return writer


async def test_an_address_has_few_places_without_a_token_and_takes_none_of_others():
    async with limited(per_address=3) as place:
        held = [await place.connect(source="127.0.0.2") for _ in range(3)]
        for connection in held:
            assert await status_of(connection, "/echo/a") == 200
        assert not await is_served(place, "127.0.0.2")
        assert await is_served(place, "127.0.0.3")
        for _, writer in held:
            writer.close()


async def test_those_who_never_begin_tls_are_counted_until_their_time_is_over():
    async with limited(per_address=3) as place:
        writers = [await silent(place, "127.0.0.2") for _ in range(3)]
        assert not await is_served(place, "127.0.0.2")
        await passes(HANDSHAKE_S + 1)
        assert await is_served(place, "127.0.0.2")
        for writer in writers:
            writer.close()


async def test_a_token_makes_room_for_the_next_connection_and_only_once():
    async with limited(per_address=1) as place:
        first = await place.connect(source="127.0.0.2")
        for _ in range(2):
            assert await status_of(first, "/echo/proven/1") == 200
        second = await place.connect(source="127.0.0.2")
        assert await status_of(second, "/echo/a") == 200
        assert not await is_served(place, "127.0.0.2")
        first[1].close()
        await comes_true(lambda: len(place.web._arrivals._places._taken) == 1)
        assert not await is_served(place, "127.0.0.2")
        second[1].close()
        await served_at_last(place, "127.0.0.2")


async def test_all_connections_together_are_bounded_and_one_that_is_gone_leaves_its_place():
    async with limited(connections=2) as place:
        both = [await place.connect(source=f"127.0.0.{number}") for number in (2, 3)]
        for connection in both:
            assert await status_of(connection, "/echo/proven/1") == 200
        assert not await is_served(place, "127.0.0.4")
        both[0][1].transport.abort()
        await served_at_last(place, "127.0.0.4")
        both[1][1].close()


async def has_a_place(connection, grant_id: int) -> bool:
    return await status_of(connection, f"/echo/proven/{grant_id}") == 200


async def test_a_grant_has_its_share_of_the_connections_and_the_rest_is_for_others():
    async with limited(per_grant=2) as place:
        taken = [await place.connect() for _ in range(3)]
        one, two, three = taken
        for connection in (one, two, one):
            assert await status_of(connection, "/echo/proven/1") == 200
        assert await status_of(three, "/echo/proven/1") == 429
        assert await status_of(three, "/echo/proven/2") == 200
        # A connection counts for the grant that used it last.
        assert await status_of(two, "/echo/proven/2") == 200
        assert await status_of(three, "/echo/proven/1") == 200
        assert await status_of(two, "/echo/proven/1") == 429
        taken.append(two := await place.connect())
        one[1].transport.abort()
        await comes_true(lambda: has_a_place(two, 1))
        for _, writer in taken:
            writer.close()


async def test_who_is_refused_its_grants_share_still_counts_as_a_stranger():
    async with limited(per_grant=1, per_address=1) as place:
        first = await place.connect(source="127.0.0.2")
        assert await status_of(first, "/echo/proven/1") == 200
        second = await place.connect(source="127.0.0.2")
        assert await status_of(second, "/echo/proven/1") == 429
        assert not await is_served(place, "127.0.0.2")
        for _, writer in (first, second):
            writer.close()


@pytest.mark.parametrize("path", ["/echo/a", "/healthz", "/nothing"])
async def test_a_place_of_a_grant_is_lost_with_a_request_that_proves_nothing(path):
    async with limited(connections=1) as place:
        reader, writer = await place.connect(source="127.0.0.2")
        for _ in range(2):
            assert await status_of((reader, writer), "/echo/proven/1") == 200
        await status_of((reader, writer), path)
        assert await reader.read() == b""
        writer.close()
        await served_at_last(place, "127.0.0.4")


async def served_at_last(place: Listening, source: str) -> None:
    """Wait until a new connection from an address is answered."""
    await comes_true(lambda: is_served(place, source))


async def test_a_request_through_a_web_gateway_is_part_of_the_life_once_its_token_is_known(spans):
    async with limited() as place:
        connection = await place.connect()
        assert await status_of(connection, "/echo/a") == 200
        assert await status_of(connection, "/echo/proven/1") == 200
        connection[1].close()
    (span,) = spans()
    assert (span.name, span.attributes["stint.grant"]) == ("stint.command", "GR-TEST")
    assert span.context.trace_id == trace_ids.Life(1).ids("")[0]
