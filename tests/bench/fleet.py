"""Many idle gateways at one PostgreSQL: their CPU use, the database's CPU use, and their connections."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from broker.demo.ports import free_port
from broker.processes.fork_server import Forked, ForkServer
from tests.bench.database import database
from tests.bench.report import Report, median
from tests.environment import POSTGRES, ROOT
from tests.support.waits import eventually

GATEWAYS = 100
# Seconds: until the connections used at startup are closed, and the time measured.
SETTLE_S, COUNTED_S = 15.0, 20.0
_TICKS = os.sysconf("SC_CLK_TCK")
_CONNECTIONS = (
    "SELECT regexp_replace(application_name, ' listen$', ''), count(*) FROM pg_stat_activity WHERE datname ="
    " %s GROUP BY 1"
)


def run(report: Report) -> None:
    """Measure CPU time as the kernel reports it, which other load on the machine hardly affects."""
    with database() as (name, _), _fleet(name) as pids:
        time.sleep(SETTLE_S)
        before, moment = _used(pids), time.monotonic()
        time.sleep(COUNTED_S)
        took = time.monotonic() - moment
        gateways, postgres = (
            (after - then) / took * 100 for after, then in zip(_used(pids), before, strict=True)
        )
        with psycopg.connect(POSTGRES.url("stint_owner", "postgres")) as connection:
            names = dict(connection.execute(_CONNECTIONS, [name]).fetchall())
    counts = [count for name, count in names.items() if name.startswith("stint gateway ")]
    report.note(f"{len(counts)} idle gateways; connections of one: {min(counts)} to {max(counts)}")
    report.figure("one idle gateway", gateways / len(pids), "% of a core", most=5)
    report.figure("PostgreSQL, for all of them", postgres, "% of a core", most=12)
    report.figure("connections of an idle gateway, median", median(counts), most=4)


@contextlib.contextmanager
def _fleet(name: str) -> Iterator[list[int]]:
    """Yield gateway processes that have their lease. They are forked from one process, so that they share its
    memory.
    """
    from sessions_app.models import GatewayNode, Sweeper

    with tempfile.TemporaryDirectory(prefix="stint-bench-") as folder:
        env = {**os.environ, "DATABASE_URL": POSTGRES.url("stint_app", name), "STINT_STATE_DIR": folder}
        fork_server, made = ForkServer(), list[Forked]()
        parent = subprocess.Popen(fork_server.argv, cwd=ROOT, env=env, pass_fds=[fork_server.inherited_fd])
        try:
            eventually(fork_server.is_ready, within=60)
            for number in range(GATEWAYS):
                made.append(_gateway(fork_server, number))
            # The world has a sweeper of its own.
            sweepers = Sweeper.objects.filter(name__startswith="gateway:")
            eventually(lambda: GatewayNode.objects.count() == sweepers.count() == GATEWAYS, within=150)
            yield [one.pid for one in made]
        finally:
            for one in made:
                one.send_signal(signal.SIGKILL)
            for one in made:
                eventually(lambda one=one: one.poll() is not None, within=10)
            parent.kill()
            parent.wait()


def _gateway(fork_server: ForkServer, number: int) -> Forked:
    argv = [sys.executable, "manage.py", "gateway", "--name", f"gateway-{number:03}"]
    names = ("--ssh-port", "--postgres-port", "--port")
    ports = [word for name in names for word in (name, str(free_port()))]
    made = fork_server.fork(
        name=f"fleet{number}", argv=[*argv, *ports], cwd=ROOT, death_signal=signal.SIGKILL
    )
    assert made.stdout is not None
    os.set_blocking(made.stdout.fileno(), False)
    return made


def _used(pids: list[int]) -> tuple[float, float]:
    """Return the CPU seconds used by the gateways, and those used by PostgreSQL and its child processes."""
    with psycopg.connect(POSTGRES.url("stint_owner", "postgres")) as connection:
        server = int(_fields(connection.info.backend_pid)[1])
    backends = Path(f"/proc/{server}/task/{server}/children").read_text(encoding="ascii").split()
    # The server's own CPU time includes that of children that have exited.
    postgres = _seconds(server, and_children=True) + sum(_seconds(int(pid)) for pid in backends)
    return sum(_seconds(pid) for pid in pids), postgres


def _seconds(pid: int, *, and_children: bool = False) -> float:
    return sum(int(one) for one in _fields(pid)[11 : 15 if and_children else 13]) / _TICKS


def _fields(pid: int) -> list[str]:
    """Return the fields of proc(5) from the third on; zeros for a process that has exited."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 50
