"""A grant that is suspended while a connection is open."""

import pytest
from psycopg import errors

from broker.kernel import clock
from sessions_app.operations.grants.release_grant import release_grant
from sessions_app.operations.grants.suspend_grant import suspend_grant
from tests.support.waits import eventually

pytestmark = pytest.mark.processes


def refused(client, statement) -> str:
    """Run a statement, and return why it is refused."""
    try:
        client.execute(statement)
    except errors.InsufficientPrivilege as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "statement", ["UPDATE orders SET status = 'paid' WHERE id = 1", "SELECT id FROM orders WHERE id = 1"]
)
def test_no_further_statement_runs_on_an_open_connection_until_it_is_resumed(place, statement):
    grant, bob = place.grant(), place.world.bob
    with place.connect(grant) as client:
        client.execute(statement)
        suspend_grant(grant_id=grant.pk, actor=bob, note="Wrong shop", now=clock.now())
        # A repeated read is refused once the gateway has heard of it, and everything else at once.
        if statement.startswith("SELECT"):
            eventually(lambda: refused(client, statement))
        assert "was suspended by Bob: Wrong shop" in refused(client, statement)
        release_grant(grant_id=grant.pk, actor=bob, now=clock.now())
        client.execute(statement)
