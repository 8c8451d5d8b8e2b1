"""One running gateway with real targets for each module, in its own database."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from broker.demo.sshd import SshTarget
from tests.environment import POSTGRES
from tests.support.databases import own_database
from tests.support.leftovers import mark
from tests.support.servers.gateway import Place, write_act
from tests.support.world.world import make_world

# Backends of other roles, such as the owner's or an autovacuum, are not the application's to end.
OTHERS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename ="
    " current_user"
)


@pytest.fixture
def lone_db(stint_db) -> Iterator[object]:
    """Yield a new database for one test, and end all connections to it afterwards, so that it can be used
    again.
    """
    yield stint_db
    with psycopg.connect(stint_db.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}")


def make_place(tmp_path_factory, *, contain: str = "group", start: bool = True) -> Iterator[Place]:
    """Run the gateway with a database, people and targets."""
    from broker.kernel import clock
    from sessions_app.operations.targets.ensure_authority import ensure_authority
    from sessions_app.queries.gateways.keys import SSH_USER_CA

    folder = tmp_path_factory.mktemp("place")
    state = folder / "state"
    state.mkdir(mode=0o700)
    with own_database() as name:
        env = {**os.environ, "DATABASE_URL": POSTGRES.url("stint_app", name), "STINT_STATE_DIR": str(state)}
        clock.sync()
        ca = ensure_authority(SSH_USER_CA, now=clock.now())
        write_act(folder)
        with (
            SshTarget([ca.public_key], ["web"], programs=folder, environment=mark()) as one,
            SshTarget([ca.public_key], ["web"], programs=folder, environment=mark()) as two,
        ):
            place = Place(make_world(clock.now()), folder, env, {"web-1": one, "web-2": two}, contain)
            place.world.apply(place.catalog(), now=clock.now())
            try:
                if start:
                    place.start()
                yield place
            finally:
                place.stop()


@pytest.fixture(scope="module")
def place(processes, request, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """The gateway and its targets; commands are contained in a group, unless the test sets another way."""
    with django_db_blocker.unblock():
        yield from make_place(tmp_path_factory, contain=getattr(request, "param", "group"))


@pytest.fixture(autouse=True)
def _nothing_is_left_over(request) -> Iterator[None]:
    """End a test's grants, so that they don't affect the next test."""
    yield
    if "place" not in request.fixturenames:
        return
    from broker.kernel import clock
    from sessions_app.models import EndReason, Grant
    from sessions_app.operations.grants.end_grant import end_grant

    for pk in Grant.objects.filter(state="active").values_list("pk", flat=True):
        end_grant(grant_id=pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
