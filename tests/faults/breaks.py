"""The faults: each breaks something when its block begins, and repairs it when the block ends."""

import contextlib
import http.client
import os
import signal
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import psycopg

from tests.faults.clients import PUBLIC, TrustingConnection
from tests.faults.plan import Kind
from tests.faults.stack import Stack
from tests.faults.ways import Way
from tests.support.waits import eventually

Fault = Callable[[Stack, str, float], contextlib.AbstractContextManager[None]]
_NODES = ("1", "2")
KINDS: dict[str, Kind] = {}
_FAULTS: dict[str, Fault] = {}
# Faults during which targets are down, and faults during which the database can't receive an end.
_AWAY = {"target away", "target frozen"}
_UNTOLD: set[str] = set()


def fault(
    name: str, *places: str, lasts: tuple[float, float], shows: tuple[str, ...], untold: bool = False
) -> Callable[[Callable[[Stack, str, float], Iterator[None]]], Fault]:
    """Register a fault under its name."""

    def register(function: Callable[[Stack, str, float], Iterator[None]]) -> Fault:
        KINDS[name] = Kind(places or ("",), lasts, shows)
        _FAULTS[name] = contextlib.contextmanager(function)
        if untold:
            _UNTOLD.add(name)
        return _FAULTS[name]

    return register


def is_untold(kind: str) -> bool:
    """Whether no end can be saved during the fault, because the database accepts nothing."""
    return kind in _UNTOLD


def away(kind: str, place: str) -> tuple[str, ...]:
    """Return the targets that are down during the fault."""
    return (place,) if kind in _AWAY else ()


def broken(stack: Stack, kind: str, place: str, lasts: float) -> contextlib.AbstractContextManager[None]:
    """Keep it broken for the duration of the block."""
    return _FAULTS[kind](stack, place, lasts)


DEAD = "worker or scheduler dead"
QUEUE = "Redis down or emptied"
DATABASE = "database down"
FAILOVER = "database fails over to a standby"
GATEWAY = "gateway killed or frozen"
DOWN = "target down"
BETWEEN = "crash between two steps"
STOPPED = "a process stopped inside a transaction"


@fault("kill web", *_NODES, lasts=(0, 0), shows=(BETWEEN,))
def _kill_web(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.processes.by_name[f"web-{place}"].signal(signal.SIGKILL)
    yield


@fault(
    "kill worker",
    *_NODES,
    lasts=(0, 0),
    shows=(BETWEEN, "answer lost after the action", "a process killed while it creates something"),
)
def _kill_worker(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.processes.by_name[f"worker-{place}"].signal(signal.SIGKILL)
    yield


@fault(
    "kill gateway",
    *_NODES,
    lasts=(0, 0),
    shows=(GATEWAY, BETWEEN, "database unavailable when a session closes, or its answer to an opening lost"),
)
def _kill_gateway(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.processes.by_name[f"gateway-{place}"].signal(signal.SIGKILL)
    yield


def _down(stack: Stack, kind: str) -> Iterator[None]:
    """Kill all processes of a kind, and keep them down."""
    processes = [stack.processes.by_name[f"{kind}-{node}"] for node in _NODES]
    for process in processes:
        process.down = True
        process.signal(signal.SIGKILL)
    try:
        yield
    finally:
        for process in processes:
            process.down = False


@fault("workers dead", lasts=(6, 8), shows=(DEAD,))
def _no_workers(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _down(stack, "worker")


@fault("gateways dead", lasts=(3, 5), shows=(GATEWAY,))
def _no_gateways(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _down(stack, "gateway")


def _frozen(stack: Stack, name: str) -> Iterator[None]:
    process = stack.processes.by_name[name]
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


@fault("freeze web", *_NODES, lasts=(4, 8), shows=(STOPPED,))
def _freeze_web(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _frozen(stack, f"web-{place}")


@fault("freeze worker", *_NODES, lasts=(4, 8), shows=(STOPPED, "a process stopped while it compares targets"))
def _freeze_worker(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _frozen(stack, f"worker-{place}")


@fault("freeze gateway", *_NODES, lasts=(4, 8), shows=(GATEWAY, STOPPED))
def _freeze_gateway(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _frozen(stack, f"gateway-{place}")


@fault("restart gateway", *_NODES, lasts=(0, 0), shows=(BETWEEN,))
def _restart_gateway(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.processes.by_name[f"gateway-{place}"].main(signal.SIGTERM)
    yield


@fault("database restart", lasts=(1, 2), shows=(DATABASE,), untold=True)
def _restart_database(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.pair.primary.stop()
    yield
    stack.pair.primary.start()


@fault("database frozen", lasts=(4, 8), shows=(DATABASE,), untold=True)
def _freeze_database(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.pair.primary.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        stack.pair.primary.signal(signal.SIGCONT)


@fault("failover", lasts=(1, 4), shows=(FAILOVER,), untold=True)
def _fail_over(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.pair.lose()
    yield
    stack.pair.promote()


def _ways_closed(ways: list[Way]) -> Iterator[None]:
    for way in ways:
        way.freeze()
    try:
        yield
    finally:
        for way in ways:
            way.thaw()


@fault("black hole before the database", *_NODES, lasts=(6, 8), shows=(DATABASE, GATEWAY), untold=True)
def _black_hole(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _ways_closed(stack.ways[f"database-{place}"])


@fault("black hole before the database of all", lasts=(12, 14), shows=(DATABASE,), untold=True)
def _black_hole_of_all(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _ways_closed([way for node in _NODES for way in stack.ways[f"database-{node}"]])


@fault("database reads only", lasts=(4, 6), shows=(FAILOVER,), untold=True)
def _read_only(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.pair.primary.set("default_transaction_read_only", "on")
    try:
        yield
    finally:
        stack.pair.primary.set("default_transaction_read_only", "off")


@fault("standby frozen", lasts=(4, 6), shows=(DATABASE,), untold=True)
def _freeze_standby(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.pair.standby.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        stack.pair.standby.signal(signal.SIGCONT)


@fault("queue flushed", lasts=(0, 0), shows=(QUEUE, "message lost, duplicated, late, forged"))
def _flush(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    import redis

    with redis.Redis(port=stack.valkey_port) as queue:
        queue.flushall()
    yield


@fault("queue stopped", lasts=(5, 8), shows=(QUEUE,))
def _stop_queue(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.stop_valkey()
    try:
        yield
    finally:
        stack.start_valkey()


@fault("queue silent", lasts=(5, 8), shows=(QUEUE, "message lost, duplicated, late, forged"))
def _silent_queue(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _ways_closed(stack.ways["queue"])


@fault("target away", "web-1", "web-2", lasts=(4, 8), shows=(DOWN, "target down at the start"))
def _target_away(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.targets[place].kill()
    try:
        yield
    finally:
        stack.targets[place].start()


@fault("target frozen", "web-1", "web-2", lasts=(4, 8), shows=(DOWN,))
def _target_frozen(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    target = stack.targets[place]
    pids = [target.pid, *target.connections()]
    _send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(pids, signal.SIGCONT)


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@fault("disk full", lasts=(5, 8), shows=("the file of checkpoints can't be written",))
def _disk_full(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    filler = stack.state / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    try:
        yield
    finally:
        filler.unlink()


@fault("clock wrong", "+3600", "-3600", lasts=(6, 8), shows=("clock wrong, DST",))
def _clock_wrong(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    stack.clock.write_text(f"{place}\n")
    try:
        yield
    finally:
        stack.clock.write_text("+0\n")


@fault("mail hangs", lasts=(6, 8), shows=("mail server down or slow",))
def _mail_hangs(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _ways_closed(stack.ways["mail"])


@fault(
    "webhook hangs",
    lasts=(6, 8),
    shows=("receiver of a webhook down, slow, or redirecting to an internal address",),
)
def _webhook_hangs(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _ways_closed(stack.ways["webhook"])


@fault("record can't accept entries", lasts=(4, 6), shows=("record can't accept entries",))
def _record_refuses(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    functions = "FUNCTION audit_append_at_commit, audit_append_many"
    with psycopg.connect(stack.pair.url("stint_owner"), autocommit=True) as owner:
        owner.execute(f"REVOKE EXECUTE ON {functions} FROM stint_app")
        try:
            yield
        finally:
            owner.execute(f"GRANT EXECUTE ON {functions} TO stint_app")


@contextlib.contextmanager
def _locked(stack: Stack, statement: str) -> Iterator[None]:
    """Hold locks in an idle transaction, like a process that was stopped in one."""
    with psycopg.connect(stack.pair.url("stint_owner")) as owner:
        owner.execute("SET idle_in_transaction_session_timeout = 0")
        owner.execute(statement)
        # Ends terminate a transaction that blocks them: then there is nothing to release.
        with contextlib.suppress(psycopg.Error):
            yield


@fault("record held", lasts=(4, 6), shows=(STOPPED,))
def _record_held(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    with _locked(stack, "SELECT FROM audit_head FOR UPDATE"):
        yield


@fault("grants held", lasts=(4, 6), shows=(STOPPED,))
def _grants_held(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    with _locked(stack, "SELECT FROM sessions_app_grant WHERE state <> 'ended' FOR NO KEY UPDATE"):
        yield


@fault("messages forged", lasts=(4, 6), shows=("message lost, duplicated, late, forged",))
def _forged(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    """Send every kind of message about every grant, repeatedly, without a row that justifies it."""
    from celery import Celery

    with psycopg.connect(stack.pair.url()) as reader:
        ids = [pk for (pk,) in reader.execute("SELECT id FROM sessions_app_grant ORDER BY id DESC LIMIT 20")]
    forger = Celery(broker=f"redis://127.0.0.1:{stack.valkey_port}/0")
    for pk in ids:
        for task, queue in (
            ("grants.provision", "provision"),
            ("grants.prepare", "provision"),
            ("grants.deprovision", "revoke"),
        ):
            for _ in range(3):
                forger.send_task(task, kwargs={"grant_id": pk}, queue=queue)
    forger.close()
    yield


@fault("garbage", lasts=(6, 8), shows=("a flood of garbage from outside",))
def _garbage(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    over = threading.Event()
    flood = threading.Thread(target=_send_garbage, args=(over,), daemon=True)
    flood.start()
    yield
    over.set()
    flood.join()


def _send_garbage(over: threading.Event) -> None:
    body = urlencode(
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": "garbage",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
    )
    while not over.wait(0.04):
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(TrustingConnection(PUBLIC, 443)) as site,
        ):
            site.request(
                "POST",
                "/oauth/token",
                body,
                {"Content-Type": "application/x-www-form-urlencoded", "Host": PUBLIC},
            )
            site.getresponse().read()


@fault("streams dead", lasts=(3, 5), shows=("streams down",))
def _no_streams(stack: Stack, place: str, lasts: float) -> Iterator[None]:
    yield from _down(stack, "streams")


def mend(stack: Stack, kind: str) -> None:
    """Repair what a fault leaves broken, after Stint has had its time to recover."""
    if kind == "failover":
        eventually(lambda: _rejoined(stack), within=60, every=1)


def _rejoined(stack: Stack) -> bool:
    stack.pair.rejoin()
    return True
