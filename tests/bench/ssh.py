"""SSH through the gateway: its overhead for a login, and how fast an end terminates a running command.

The targets are real sshd processes, and a command counts as terminated when the kernel reports its exit.
"""

import contextlib
import logging
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from broker.demo.sshd import SshTarget
from tests.bench import lateness
from tests.bench.deaths import Deaths
from tests.bench.place import place_with_targets, queue, worker
from tests.bench.report import Report, median, percentile
from tests.support.servers.gateway import Place, new_tag
from tests.support.waits import eventually

LOGINS = 40
REVOKES = 30
CROWD, WAVE = 200, 10
DEADLINES, LIFETIME = 20, 8


def run(report: Report) -> None:
    """Measure."""
    with contextlib.ExitStack() as running:
        valkey = running.enter_context(queue())
        place = running.enter_context(place_with_targets(REDIS_URL=valkey.celery_url()))
        running.enter_context(_queue_of_this_process(valkey.celery_url()))
        with contextlib.ExitStack() as extra:
            extra.enter_context(worker(place))
            _logins(report, place)
            _revokes(report, place)
            _crowd(report, place)
            _deadlines(report, place, "deadline to process dead")
        valkey.stop()
        _deadlines(report, place, "deadline to process dead, Celery and Redis stopped")
    lateness.run(report)


# --- What the gateway adds ---


def _logins(report: Report, place: Place) -> None:
    _grant(place)
    took: dict[str, list[float]] = {"gateway": [], "target": []}
    with plain_target(place) as target:
        commands = {"gateway": place.command("true"), "target": _direct(place, target)}
        for number in range(LOGINS + 2):
            # They alternate in going first.
            for name in sorted(commands, reverse=bool(number % 2)):
                began = time.perf_counter()
                # No timeout: with one, Python polls for the exit only every 50 ms.
                subprocess.run(commands[name], stdin=subprocess.DEVNULL, check=True)
                if number >= 2:
                    took[name].append((time.perf_counter() - began) * 1000)
    for name, each in took.items():
        report.note(f"ssh {name} true: median {median(each):.0f} ms, p90 {percentile(each, 90):.0f} ms")
    ratio = median(took["gateway"]) / median(took["target"])
    report.figure(f"ssh gateway true over ssh target true, {LOGINS} each", ratio, "x", most=1.35)


@contextlib.contextmanager
def plain_target(place: Place) -> Iterator[SshTarget]:
    """Yield a server like the targets', but with an authorized key instead of an authority."""
    allowed = place.key("alice").with_suffix(".pub")
    options = [
        f"AuthorizedKeysFile {allowed}",
        "StrictModes no",
        "PermitRootLogin prohibit-password",
        "Subsystem sftp internal-sftp",
    ]
    with SshTarget([], programs=place.folder, options=options) as target:
        yield target


def _direct(place: Place, target: SshTarget) -> list[str]:
    words = place.command("true", user=target.account)
    words[words.index("-p") + 1] = str(target.port)
    return words


# --- How fast ends are ---


def _revokes(report: Report, place: Place) -> None:
    took = []
    for _ in range(REVOKES):
        grant = _grant(place)
        with running_commands(place, [f"{grant.ref}.web-1"]) as pids:
            deaths = Deaths(pids, within=5)
            clicked = _click_kill(place, grant)
            took.append((max(deaths.wait().values()) - clicked) * 1000)
        eventually(lambda grant=grant: _is_ended(grant))
    report.note(f"revoke click to process dead, {REVOKES} times one session: median {median(took):.0f} ms")
    report.figure("revoke click to process dead, one session, p99", percentile(took, 99), "ms", most=300)


def _crowd(report: Report, place: Place) -> None:
    """Measure one grant with many sessions, half of them on each target."""
    grant = _grant(place)
    began = time.monotonic()
    users = [f"{grant.ref}.web-{1 + number % 2}" for number in range(CROWD)]
    with running_commands(place, users) as pids:
        report.note(
            f"{CROWD} sessions of one grant on two targets: open after {time.monotonic() - began:.0f} s"
        )
        deaths = Deaths(pids, within=20)
        clicked = _click_kill(place, grant)
        took = [moment - clicked for moment in deaths.wait().values()]
        report.note(f"revoke click to the half of them dead: {median(took):.2f} s")
        report.figure(f"revoke click to process dead, the last of {CROWD} sessions", max(took), "s", most=0.9)
        eventually(lambda: _is_ended(grant), within=20)
        proven = (grant.ended_at - grant.revoking_at).total_seconds()
        report.note(f"revoke to their end proven on the targets: {proven:.2f} s")


def _deadlines(report: Report, place: Place, name: str) -> None:
    """Measure grants that end at their deadlines, one after another."""
    from broker.kernel import clock

    with contextlib.ExitStack() as stack:
        grants, watched = [], []
        for _ in range(DEADLINES):
            # Unlike in tests, not longer on a busy machine.
            grant = _grant(place, duration=LIFETIME, most=LIFETIME)
            pids = stack.enter_context(running_commands(place, [f"{grant.ref}.web-1"]))
            grants.append(grant)
            watched.append(Deaths(pids, within=LIFETIME + 5))
        died = [max(deaths.wait().values()) for deaths in watched]
        reading = clock.sync()
        late = [
            ((reading.database - grant.expires_at).total_seconds() - (reading.monotonic - moment)) * 1000
            for grant, moment in zip(grants, died, strict=True)
        ]
        eventually(lambda: all(_is_ended(grant) for grant in grants), within=20)
    proven = [(grant.ended_at - grant.expires_at).total_seconds() * 1000 for grant in grants]
    report.note(
        f"{name}, {DEADLINES} grants: median {median(late):.0f} ms, first {min(late):.0f} ms; "
        f"proven: median {median(proven):.0f} ms, last {max(proven):.0f} ms"
    )
    report.figure(f"{name}, p99", percentile(late, 99), "ms", most=500)


def _grant(place: Place, **changes):
    """Return an active grant; the worker may be about to start it as well."""
    grant = place.grant(**changes)
    eventually(lambda: _state(grant) == "active")
    return grant


def _click_kill(place: Place, grant) -> float:
    """Revoke a grant as its approver; return the time of the click."""
    from broker.kernel import clock
    from sessions_app.operations.grants.stop_grant import stop_grant

    clicked = time.monotonic()
    stop_grant(grant_id=grant.pk, actor=place.world.bob, now=clock.now(), kill=True)
    return clicked


def _is_ended(grant) -> bool:
    return _state(grant) == "ended"


def _state(grant) -> str:
    grant.refresh_from_db()
    return grant.state


@contextlib.contextmanager
def running_commands(place: Place, users: list[str]) -> Iterator[list[int]]:
    """Run a sleep for each login name, and yield the processes once all run on their targets."""
    clients: list[subprocess.Popen[bytes]] = []
    tags: list[int] = []
    try:
        for start in range(0, len(users), WAVE):
            wave = {new_tag(): user for user in users[start : start + WAVE]}
            tags += wave
            clients += [_client(place, tag, user) for tag, user in wave.items()]
            _await_running(clients, wave)
        # Only the command itself, not Stint's wrapper, which outlives it to find remaining processes.
        yield [pid for pids in _on_targets(tags).values() for pid in pids if _name(pid) == "sleep"]
    finally:
        for client in clients:
            client.kill()
            client.wait()


def _client(place: Place, tag: int, user: str) -> subprocess.Popen[bytes]:
    words = place.command("test", "sleep", str(tag), user=user)
    quiet = subprocess.DEVNULL
    with (place.folder / "clients.log").open("ab") as said:
        return subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=said)


def _await_running(clients: list[subprocess.Popen[bytes]], tags: Collection[int]) -> None:
    def run() -> bool:
        assert all(client.poll() is None for client in clients), "a client was sent away"
        found = _on_targets(tags)
        return all(any(_name(pid) == "sleep" for pid in found[tag]) for tag in tags)

    eventually(run, within=30, every=0.02)


def _on_targets(tags: Collection[int]) -> dict[int, list[int]]:
    """Return the processes with each tag among their arguments, except clients, in one scan."""
    wanted = {str(tag).encode(): tag for tag in tags}
    found: dict[int, list[int]] = {tag: [] for tag in tags}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                for word in wanted.keys() & set(words) if words[0] != b"ssh" else ():
                    found[wanted[word]].append(int(entry.name))
    return found


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    return ""


@contextlib.contextmanager
def _queue_of_this_process(url: str) -> Iterator[None]:
    """Let this process send its hints to the worker's queue, as the web process does."""
    from celery import current_app
    from django.conf import settings

    before = settings.CELERY_BROKER_URL
    # The loss of the queue is part of the bench.
    logging.getLogger("broker.kernel.enqueue").setLevel(logging.ERROR)
    settings.CELERY_BROKER_URL = current_app.conf.broker_url = url
    try:
        yield
    finally:
        settings.CELERY_BROKER_URL = current_app.conf.broker_url = before
