"""A live gateway for benchmarks: its own database, real targets, and optionally a worker with its queue."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from broker.demo.sshd import SshTarget
from broker.embedded.valkey import EmbeddedValkey
from broker.processes.argv import worker_argv
from tests.bench.database import database
from tests.environment import POSTGRES, ROOT
from tests.support.servers.gateway import Place, write_act
from tests.support.waits import eventually


@contextlib.contextmanager
def bare_place() -> Iterator[tuple[str, Place]]:
    """Yield an idle gateway, and the name of its database."""
    with database() as (name, world), _folder() as folder:
        place = Place(world, folder, environment(name, folder), {})
        place.start()
        try:
            yield name, place
        finally:
            place.stop()


@contextlib.contextmanager
def place_with_targets(**env: str) -> Iterator[Place]:
    """Yield a gateway with two targets."""
    from broker.kernel import clock
    from sessions_app.operations.targets.ensure_authority import ensure_authority
    from sessions_app.queries.gateways.keys import SSH_USER_CA

    with database() as (name, world), _folder() as folder:
        write_act(folder)
        keys = [ensure_authority(SSH_USER_CA, now=clock.now()).public_key]
        with (
            SshTarget(keys, ["web"], programs=folder) as one,
            SshTarget(keys, ["web"], programs=folder) as two,
        ):
            place = Place(world, folder, {**environment(name, folder), **env}, {"web-1": one, "web-2": two})
            world.apply(place.catalog(), now=clock.now())
            place.start()
            try:
                yield place
            finally:
                place.stop()


@contextlib.contextmanager
def queue() -> Iterator[EmbeddedValkey]:
    """Yield a running Valkey."""
    with _folder() as folder:
        valkey = EmbeddedValkey(folder)
        with valkey:
            yield valkey


@contextlib.contextmanager
def worker(place: Place) -> Iterator[None]:
    """Run the worker and its scheduler on the queue of the gateway's environment, after its first sweep."""
    from sessions_app.models import Sweeper

    log = (place.folder / "worker.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, *worker_argv()],
        cwd=ROOT,
        env=place.env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        eventually(
            lambda: Sweeper.objects.filter(name="worker").exists() or process.poll() is not None, within=30
        )
        assert process.poll() is None, (place.folder / "worker.log").read_text(encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def environment(name: str, folder: Path) -> dict[str, str]:
    """Return the environment of a gateway that uses a database and a state folder."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    return {**os.environ, "DATABASE_URL": POSTGRES.url("stint_app", name), "STINT_STATE_DIR": str(state)}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stint-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
