"""Several gateways behind one name: one host key, rotated without a warning, and no session depends on one
gateway.
"""

import contextlib
import signal
import subprocess
from collections.abc import Iterator

import pytest

from broker.demo.ports import free_port
from broker.kernel import clock
from sessions_app.operations.targets.prepare_authority import prepare_authority
from sessions_app.operations.targets.retire_authority import retire_authority
from sessions_app.operations.targets.rotate_authority import rotate_authority
from sessions_app.queries.gateways.keys import SSH_HOST_KEY, active_authority, public_line
from tests.sessions_app.gateways.conftest import make_place
from tests.support.pace import allow
from tests.support.servers.gateway import Place, on_target
from tests.support.servers.running import start
from tests.support.waits import eventually
from tests.support.world.world import SETUP

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """A place without a running gateway: each test starts and ends it."""
    with django_db_blocker.unblock():
        yield from make_place(tmp_path_factory, start=False)


@pytest.fixture
def gateway(place) -> Iterator[Place]:
    place.start()
    yield place
    place.stop()


@contextlib.contextmanager
def second(place):
    """Yield the port of another gateway of the same database, with its own port and state folder, as on
    another machine.
    """
    port = free_port()
    env = {**place.env, "STINT_STATE_DIR": str(place.folder / "second")}
    with (place.folder / "second.log").open("ab") as log:
        words = ("manage.py", "gateway", "--protocols", "ssh", "--ssh-port", str(port), "--name", "second")
        process = start(*words, env=env, stderr=log)
    try:
        eventually(lambda: known_by(port), within=30)
        yield port
    finally:
        process.kill()
        process.wait()


def known_by(port: int) -> str:
    """Return the host key at a port; empty if nothing listens there."""
    asked = ["ssh-keyscan", "-T", "2", "-t", "ed25519", "-p", str(port), "127.0.0.1"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return " ".join(" ".join(line.split()[1:3]) for line in found.splitlines() if not line.startswith("#"))


def strictly(place, *words: str) -> list[str]:
    """Return the command line of a client that refuses unknown host keys, and learns announced ones."""
    options = ("-o", "HostKeyAlias=gateway", "-o", "UpdateHostKeys=yes")
    changed = {"StrictHostKeyChecking=no": "StrictHostKeyChecking=yes"}
    return [changed.get(word, word) for word in place.command(*words, options=options)]


@pytest.mark.parametrize("lost", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_when_a_gateway_is_lost_the_other_has_its_host_key_and_takes_new_sessions_at_once(gateway, lost):
    grant = gateway.grant(duration=15)
    with second(gateway) as port, gateway.running("stubborn") as (_, tag):
        assert known_by(port) == known_by(gateway.port) == public_line(active_authority(SSH_HOST_KEY))
        gateway.gateway.send_signal(lost)
        first, gateway.port = gateway.port, port
        try:
            assert gateway.ssh("true", timeout=allow(5)).returncode == 0
            eventually(lambda: not on_target(tag), within=15 + allow(2))
            assert clock.now() < grant.expires_at or (clock.now() - grant.expires_at).total_seconds() < allow(
                2
            )
        finally:
            gateway.port = first
            gateway.gateway.send_signal(signal.SIGCONT)


def test_a_host_key_is_changed_and_clients_that_connected_meanwhile_are_not_warned(gateway):
    gateway.grant()
    known = gateway.folder / "known_hosts"
    old = active_authority(SSH_HOST_KEY)
    known.write_text(f"gateway {public_line(old)}\n")

    def knows(*keys) -> bool:
        done = subprocess.run(strictly(gateway, "true"), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return known.read_text().count("ssh-ed25519") == len(keys) and all(
            public_line(key) in known.read_text() for key in keys
        )

    fresh = prepare_authority(SSH_HOST_KEY, actor=SETUP, now=clock.now())
    eventually(lambda: knows(old, fresh), within=20)
    assert known_by(gateway.port) == public_line(old)
    rotate_authority(SSH_HOST_KEY, actor=SETUP, now=clock.now())
    eventually(lambda: known_by(gateway.port) == public_line(fresh), within=10)
    assert knows(old, fresh)
    retire_authority(SSH_HOST_KEY, fingerprint=old.fingerprint, actor=SETUP, now=clock.now())
    eventually(lambda: knows(fresh), within=20)
