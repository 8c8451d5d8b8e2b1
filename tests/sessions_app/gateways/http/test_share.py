"""One grant's share of the gateway's connections."""

import pytest

from broker.demo.ports import free_port
from broker.kernel import clock
from sessions_app.gateways.core.arrivals import Limits
from sessions_app.gateways.http.site import HTTPSite
from tests.support.servers.endpoints import policies
from tests.support.servers.http_place import COMMAND_SET, HEADER, cluster
from tests.support.servers.http_target import Target
from tests.support.servers.web_sites import listening
from tests.support.world.holders import play_out
from tests.support.world.mcp_site import token_of


@pytest.fixture
def tokens(lone_db, live_world):
    """The tokens of two grants on a target that is down."""
    live_world.catalog.update(
        {
            "clusters/prices.yaml": cluster(Target(port=free_port()), inject=HEADER),
            "command-sets/price-work.yaml": COMMAND_SET,
            **policies("prices", "price-work"),
        }
    )
    live_world.apply()
    words = {"command_set": "price-work", "policy": "prices-work", "parameters": {"sku": "S-42"}}
    now = clock.now()
    return [
        token_of(live_world.grant(now=now, cluster="prices", **words), live_world, now=now) for _ in range(2)
    ]


async def asks(connection, token: str) -> bytes:
    """Return the response to a GET with a token."""
    reader, writer = connection
    head = (
        f"GET /http/prices/prices/S-42 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    writer.write(head.encode())
    said = await reader.readuntil(b"\r\n\r\n")
    return said + await reader.readexactly(int(said.lower().partition(b"content-length: ")[2].split()[0]))


def test_a_grant_that_has_its_share_of_the_connections_is_refused_another_one_and_others_are_not(tokens):
    async def run() -> None:
        async with listening({"http": HTTPSite()}, limits=Limits(per_grant=1)) as place:
            first, second, third = [await place.connect() for _ in range(3)]
            assert (await asks(first, tokens[0])).startswith(b"HTTP/1.1 502")
            refused = await asks(second, tokens[0])
            assert refused.startswith(b"HTTP/1.1 429")
            assert b"\r\nretry-after: 1\r\n" in refused.lower()
            assert b"Too many connections with this grant are open." in refused
            assert await second[0].read() == b""
            assert (await asks(third, tokens[1])).startswith(b"HTTP/1.1 502")
            assert (await asks(first, tokens[0])).startswith(b"HTTP/1.1 502")
            for _, writer in (first, second, third):
                writer.close()

    play_out(run)
