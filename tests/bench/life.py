"""The life cycle of a grant through every process: requested and approved by API, started, one command over
SSH, ended by API, confirmed.

`make bench B=life` prints it. To compare with an older commit, run its own in a worktree of it, in turns:
other load on the machine affects the CPU time little, but the wall time much.
"""

import contextlib
import datetime as dt
import http.client
import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from tests.bench.place import place_with_targets, queue, worker
from tests.bench.report import Report, median, percentile
from tests.bench.yardstick import Yardstick
from tests.environment import POSTGRES
from tests.support.browser.site import serve
from tests.support.servers.gateway import Place

WARM, ALONE, TOGETHER, AT_ONCE = 9, 20, 45, 3
IDLE_S, LONGEST_S = 6, 30
_ASK = {
    "cluster": "web",
    "command_set": "restart-web",
    "duration": 3600,
    "reason": "Nightly",
    "parameters": {"unit": "nginx"},
}
# The kind of a process, by words of its command line; the first match counts.
_KINDS = {"granian": "web", "celery": "worker", "gateway": "gateway", "valkey": "queue"}
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def run(report: Report) -> None:
    """Measure."""
    with contextlib.ExitStack() as running:
        valkey = running.enter_context(queue())
        place = running.enter_context(
            place_with_targets(REDIS_URL=valkey.celery_url(), STINT_API_PER_MINUTE="1000000")
        )
        running.enter_context(worker(place))
        lives = Lives(place, running.enter_context(serve(place.env, place.folder)))
        _together(lives, WARM, AT_ONCE)
        idle = _idle(lives)
        _tell(report, "CPU a second, when nobody uses it", idle)
        yardstick = Yardstick()
        yardstick.sample()
        alone, _, _ = _together(lives, ALONE, 1)
        yardstick.sample()
        report.note(str(yardstick))
        for what in ("requesting by API", "approving by API"):
            report.figure(f"{what}, median", median(alone[what]), "ms", most=30 * yardstick.slowness())
        for what, each in alone.items():
            report.note(f"    {what}: median {median(each):.0f} ms, p99 {percentile(each, 99):.0f} ms")
        _, took, cpu = _together(lives, TOGETHER, AT_ONCE)
        _tell(report, f"CPU of a life, {AT_ONCE} at a time", cpu)
        beyond = Counter({kind: used - idle[kind] * took / TOGETHER for kind, used in cpu.items()})
        _tell(report, "the same, beyond what it uses when nobody does", beyond)
        report.figure(
            f"lives of a grant, {AT_ONCE} at a time",
            TOGETHER / took,
            "lives/s",
            least=6 / yardstick.slowness(),
        )


def _tell(report: Report, name: str, cpu: Counter[str]) -> None:
    report.figure(name, cpu.total(), "ms")
    report.note("    of it: " + ", ".join(f"{kind} {used:.0f} ms" for kind, used in sorted(cpu.items())))


def _idle(lives: "Lives") -> Counter[str]:
    before = _cpu(lives)
    time.sleep(IDLE_S)
    used = _cpu(lives)
    return Counter({kind: (used[kind] - before[kind]) / IDLE_S for kind in used})


def _together(lives: "Lives", count: int, at_once: int) -> tuple[dict[str, list[float]], float, Counter[str]]:
    """Run this many life cycles; return the milliseconds of each step, the total seconds, and the CPU of one
    life cycle in milliseconds by kind of process.
    """
    steps: dict[str, list[float]] = {}
    before, began = _cpu(lives), time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        for life in pool.map(lambda _: lives.one(), range(count)):
            for what, took in life.items():
                steps.setdefault(what, []).append(took)
    took, used = time.perf_counter() - began, _cpu(lives)
    return steps, took, Counter({kind: (used[kind] - before[kind]) / count for kind in used})


class Lives:
    """The people who request, approve and use grants; each thread has its own connections."""

    def __init__(self, place: Place, site: str) -> None:
        self._place, self._host = place, site.removeprefix("http://")
        self._database = place.env["DATABASE_URL"]
        self._tokens = {who: _token(getattr(place.world, who)) for who in ("alice", "bob")}
        self._own = threading.local()
        # The connections on which the states are read. Kept open, so that what they use is never counted.
        self.connections: list[psycopg.Connection] = []
        # The key is registered at its first use, before threads log in with it.
        place.key("alice")

    def one(self) -> dict[str, float]:
        """Run one life cycle, and return the milliseconds of each step."""
        took: dict[str, float] = {}
        with _timed(took, "requesting by API"):
            asked = self._post("alice", "/api/v1/requests", _ASK)
        verdict = {"verdict": "approve", "digest": asked["digest"]}
        with _timed(took, "approving by API"):
            grant = self._post("bob", f"/api/v1/requests/{asked['ref']}/verdicts", verdict)["grant"]
        with _timed(took, "until it is active"):
            self._await(grant, "active")
        with _timed(took, "one command over SSH"):
            subprocess.run(
                self._place.command("true", user=f"{grant}.web-1"), stdin=subprocess.DEVNULL, check=True
            )
        with _timed(took, "ending by API"):
            self._post("bob", f"/api/v1/grants/{grant}/end", {})
        with _timed(took, "until the end is proven"):
            self._await(grant, "ended")
        return took

    def _post(self, who: str, path: str, body: dict[str, object]) -> dict[str, str]:
        if not hasattr(self._own, "wire"):
            self._own.wire = http.client.HTTPConnection(self._host, timeout=LONGEST_S)
        headers = {"Authorization": f"Bearer {self._tokens[who]}", "Content-Type": "application/json"}
        self._own.wire.request("POST", path, json.dumps(body), headers)
        answer = self._own.wire.getresponse()
        said = answer.read()
        assert answer.status in (200, 201), said
        found: dict[str, str] = json.loads(said)
        return found

    def _await(self, ref: str, state: str) -> None:
        if not hasattr(self._own, "database"):
            self._own.database = psycopg.connect(self._database, autocommit=True)
            self.connections.append(self._own.database)
        until = time.monotonic() + LONGEST_S
        while (found := self._state(ref)) != state:
            assert time.monotonic() < until, found
            time.sleep(0.01)

    def _state(self, ref: str) -> str:
        row = self._own.database.execute("SELECT state FROM sessions_app_grant WHERE ref = %s", [ref])
        return str(row.fetchone()[0])


@contextlib.contextmanager
def _timed(took: dict[str, float], what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    took[what] = (time.perf_counter() - began) * 1000


def _token(identity) -> str:
    from accounts.models import Scope
    from accounts.operations.create_token import create_token
    from broker.audit.actor import Actor
    from broker.kernel import clock

    _, text = create_token(
        identity_id=identity.pk,
        label="bench",
        scopes=Scope.values,
        lifetime=dt.timedelta(days=1),
        actor=Actor.system("bench"),
        now=clock.now(),
    )
    return text


def _cpu(lives: Lives) -> Counter[str]:
    """Return the milliseconds of CPU that Stint's processes, PostgreSQL and the queue have used, by kind."""
    used: Counter[str] = Counter()
    own = {connection.info.backend_pid for connection in lives.connections}
    for kind, pid in [*_servers(), ("PostgreSQL", _postmaster())]:
        for each in {pid, *_below(pid)} - own:
            with contextlib.suppress(OSError):
                used[kind] += time.clock_gettime_ns(_clock_of(each)) / 1e6
                # The user and system time of its children that have exited.
                fields = Path(f"/proc/{each}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
                used[kind] += sum(map(int, fields[13:15])) * _TICK_MS
    return used


def _clock_of(pid: int) -> int:
    """Return the clock of a process's CPU time, as clock_getcpuclockid(3) does.

    `/proc/PID/stat` rounds down to 10 ms, so a process would seem to use up to 20 ms more when it exits.
    """
    return ~pid << 3 | 2


def _servers() -> Iterator[tuple[str, int]]:
    for pid in _children(os.getpid()):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
            kind = next((kind for word, kind in _KINDS.items() if word in words), None)
            if kind:
                yield kind, pid


def _postmaster() -> int:
    return int((POSTGRES.data / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])


def _children(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads started them."""
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [
            int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()
        ]
    return []


def _below(pid: int) -> list[int]:
    return [each for child in _children(pid) for each in (child, *_below(child))]
