"""A token that is used again and again is asked for on the event loop, and each answer is that of a
new read.
"""

import pytest

from broker.demo.ports import free_port
from broker.kernel import clock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.core.reads import Reads
from sessions_app.gateways.http.admission import NotAdmitted, Shown, admit
from sessions_app.models import EndReason
from sessions_app.operations.grants.end_grant import end_grant
from tests.support.servers.endpoints import policies
from tests.support.servers.http_place import COMMAND_SET, HEADER, cluster
from tests.support.servers.http_target import Target
from tests.support.waits import comes_true
from tests.support.world.holders import play_out
from tests.support.world.mcp_site import token_of


class Counting(Database):
    """A database that counts what is run in threads."""

    runs = 0

    async def run(self, function, /, **arguments):
        self.runs += 1
        return await super().run(function, **arguments)


@pytest.fixture
def grant(lone_db, live_world):
    live_world.catalog.update(
        {
            "clusters/prices.yaml": cluster(Target(port=free_port()), inject=HEADER),
            "command-sets/price-work.yaml": COMMAND_SET,
            **policies("prices", "price-work"),
        }
    )
    live_world.apply()
    words = {"command_set": "price-work", "policy": "prices-work", "parameters": {"sku": "S-42"}}
    return live_world.grant(now=clock.now(), cluster="prices", **words)


def shown(token: str) -> Shown:
    line = "GET /prices/S-42"
    return Shown(f"Bearer {token}", "", "prices", "GET", "https://gw/http/prices", line, "192.0.2.1")


def test_a_token_in_use_is_read_without_a_thread_and_is_refused_by_the_first_read_after_its_end(
    grant, live_world
):
    token = token_of(grant, live_world, now=clock.now())

    async def run() -> None:
        database, reads = Counting(threads=1, name="admission"), Reads()
        admissions = Admissions(database)

        async def needs_no_thread() -> bool:
            before = database.runs
            use = await admit(admissions, reads, shown(token))
            assert (use.grant_ref, use.client) == (grant.ref, "192.0.2.1")
            return database.runs == before

        await comes_true(needs_no_thread)
        assert await needs_no_thread()
        await database.run(
            lambda: end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
        )
        with pytest.raises(NotAdmitted):
            await admit(admissions, reads, shown(token))
        reads.close()
        database.stop()

    play_out(run)
