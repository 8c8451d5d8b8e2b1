"""PostgreSQL fails over to a standby that every commit waits for: nothing is lost, nothing outlives its
grant, and Stint goes on within 15 seconds.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import OperationalError, connections

from broker.databases import database
from broker.demo.sshd import SshTarget
from broker.embedded.state import temporary_state_dir
from broker.kernel import clock
from sessions_app.models import Grant
from tests.environment import ROOT
from tests.support.pace import allow
from tests.support.servers.gateway import Place, on_target, write_act
from tests.support.servers.postgres_pair import Pair, postgres_pair
from tests.support.waits import eventually
from tests.support.world.acts import intact
from tests.support.world.world import make_world

pytestmark = pytest.mark.timing
MOST = 15


@contextlib.contextmanager
def django_at(url: str) -> Iterator[None]:
    """Let this process use another server until the block ends."""
    before = dict(settings.DATABASES["default"])

    def use(entry: dict) -> None:
        connections.close_all()
        settings.DATABASES["default"].update(entry)
        for handle in connections.all():
            handle.settings_dict.update(entry)

    use(database(url))
    try:
        yield
    finally:
        use(before)


@pytest.fixture
def pair(processes, django_db_blocker) -> Iterator[Pair]:
    """Two servers with Stint's tables, which this process uses."""
    with temporary_state_dir("stint-pair-") as folder, django_db_blocker.unblock():
        folder.chmod(0o755)
        with postgres_pair(folder) as made:
            env = {**os.environ, "DATABASE_URL": made.url(), "DATABASE_OWNER_URL": made.url("stint_owner")}
            migrate = [sys.executable, "manage.py", "migrate", "--skip-checks", "--verbosity", "0"]
            subprocess.run(migrate, check=True, env=env, cwd=ROOT)
            with django_at(made.url()):
                yield made


@pytest.fixture
def place(pair, tmp_path) -> Iterator[Place]:
    """A gateway on the two servers, with a target, and its own state."""
    from sessions_app.operations.targets.ensure_authority import ensure_authority
    from sessions_app.queries.gateways.keys import SSH_USER_CA

    tmp_path.chmod(0o755)
    (tmp_path / "state").mkdir(mode=0o700)
    write_act(tmp_path)
    key = ensure_authority(SSH_USER_CA, now=clock.now()).public_key
    env = {**os.environ, "DATABASE_URL": pair.url(), "STINT_STATE_DIR": str(tmp_path / "state")}
    with (
        SshTarget([key], ["web"], programs=tmp_path) as one,
        SshTarget([key], ["web"], programs=tmp_path) as two,
    ):
        made = Place(make_world(clock.now()), tmp_path, env, {"web-1": one, "web-2": two})
        made.world.apply(made.catalog(), now=clock.now())
        made.start()
        yield made
        made.stop()


def works_again(place: Place) -> bool:
    """Whether somebody gets and uses a grant."""
    try:
        clock.sync()
        grant = place.grant(duration=600, targets=["web-1"])
    except OperationalError:
        connections.close_all()
        return False
    return place.ssh("true", user=f"{grant.ref}.web-1").returncode == 0


def test_a_failover_loses_nothing_ends_everything_in_time_and_is_over_within_15_seconds(pair, place):
    grant = place.grant(duration=8, targets=["web-1"])
    other = place.grant(duration=600, targets=["web-2"])
    with place.running("daemon") as (_, tag):
        pair.lose()
        gone_at = time.time()
        assert place.ssh("true", user="web-2").returncode != 0, "something was used without a record"
        eventually(lambda: not on_target(tag), within=allow(12))
        assert time.time() < max(grant.expires_at.timestamp(), gone_at) + allow(2)
    connections.close_all()
    pair.promote()
    assert eventually(lambda: works_again(place), within=MOST + 10) < allow(MOST)
    eventually(lambda: Grant.objects.get(pk=grant.pk).state == "ended")
    assert Grant.objects.get(pk=other.pk).state == "active"
    assert intact()
    pair.rejoin()
    assert place.ssh("true", user=f"{other.ref}.web-2").returncode == 0


def test_a_primary_that_is_made_to_read_only_is_left_for_the_one_that_writes(pair, place):
    """As at a switchover behind an address that stays: the old one goes on to answer."""
    place.grant(duration=600, targets=["web-1"])
    assert place.ssh("true").returncode == 0
    pair.primary.set("default_transaction_read_only", "on")
    eventually(lambda: place.ssh("true").returncode != 0)
    pair.primary.set("default_transaction_read_only", "off")
    assert eventually(lambda: works_again(place), within=MOST + 10) < allow(MOST)
    assert place.gateway.poll() is None, "the gateway gave up"
