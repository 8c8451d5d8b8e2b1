"""Access over SSH: nothing is made on a target beforehand; what a grant's commands left behind is found and killed."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import asyncssh

from sessions_app.connectors.base import (
    CheckStep,
    ConnectorError,
    Evidence,
    GrantSpec,
    Lease,
    Observed,
    Place,
)
from sessions_app.connectors.ssh import check as checks
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connection import HANDSHAKES, Dialer, Errand, unreachable
from sessions_app.connectors.ssh.wrapper import (
    GRANT_MARK,
    Mark,
    Swept,
    count_command,
    marks_command,
    parse_marks,
    parse_sweep,
    sweep_command,
)
from sessions_app.policy.scope import TargetFacts

ANSWER_TIMEOUT = 25.0
# Sweeps of many grants on one target at once would overrun its MaxStartups, whatever threads they come from.
_slots: dict[tuple[str, int], threading.BoundedSemaphore] = {}
_slots_lock = threading.Lock()


class _Said(NamedTuple):
    """What a target said, and what it complained of meanwhile."""

    answer: str
    complaint: str


class SSHConnector:
    """Sweeps targets with one-command certificates of their own. May be used from any number of threads."""

    kind = "ssh"

    def __init__(
        self,
        authority: Authority,
        *,
        source_addresses: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = authority.key()
        self._sources = tuple(source_addresses)
        self._clock = clock

    def provision(self, spec: GrantSpec) -> Lease:
        """Make nothing: each command brings its own certificate."""
        return Lease(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place)

    def revoke(self, lease: Lease) -> Evidence:
        """Kill every process that carries the grant's mark, until a look finds none. Raises ConnectorError."""
        place = lease.place
        with _slot(place.target):
            return asyncio.run(
                sweep_target(self._dialer(), place, lease.grant_ref, Mark(GRANT_MARK, lease.mark))
            )

    def verify(self, lease: Lease) -> Evidence:
        """Count the processes that carry the grant's mark. Raises ConnectorError."""
        command = count_command(Mark(GRANT_MARK, lease.mark))
        swept = _swept(lease.place.target, self._run(lease.place, f"{lease.grant_ref} look", command))
        return Evidence(gone=swept.left == 0, detail={"processes_left": swept.left})

    def observe(self, place: Place) -> list[Observed]:
        """Return the marks of grants that processes of the login account carry. Raises ConnectorError."""
        said = self._run(place, "observe", marks_command())
        counts = parse_marks(said.answer)
        if counts is None:
            raise _proves_nothing(place.target, said)
        return [Observed(mark=mark, detail=f"{count} processes") for mark, count in sorted(counts.items())]

    def check(self, place: Place) -> list[CheckStep]:
        """Log in and report step by step what is right and what to fix."""
        return asyncio.run(checks.check_target(self._dialer(), place, clock=self._clock))

    def _run(self, place: Place, label: str, command: str) -> _Said:
        with _slot(place.target):
            return asyncio.run(_ask(self._dialer(), place, label, command))

    def _dialer(self) -> Dialer:
        return Dialer(lambda: self._key, source_addresses=self._sources, clock=self._clock)


async def sweep_target(dialer: Dialer, place: Place, label: str, *marks: Mark) -> Evidence:
    """Kill what carries one of the marks and return what the target saw. Raises ConnectorError."""
    asked = _now()
    swept = _swept(place.target, await _ask(dialer, place, f"{label} sweep", sweep_command(*marks)))
    return Evidence(
        gone=swept.left == 0,
        detail={
            "asked_at": asked,
            "answered_at": _now(),
            "processes_found": swept.found,
            "processes_left": swept.left,
            "rounds": swept.rounds,
            "processes_of_other_grants_killed": swept.forgers,
        },
    )


async def _ask(dialer: Dialer, place: Place, key_id: str, command: str) -> _Said:
    async def errand() -> Errand:
        return Errand(serial=0, key_id=key_id, command=command)

    connection = await dialer.dial(place, errand)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            answer = await connection.run("stint", stdin=asyncssh.DEVNULL, errors="replace")
    except (TimeoutError, asyncssh.Error, OSError) as error:
        raise unreachable(place.target, f"the connection was lost ({error})") from error
    finally:
        connection.abort()
    return _Said(str(answer.stdout or ""), str(answer.stderr or ""))


def _swept(target: TargetFacts, said: _Said) -> Swept:
    swept = parse_sweep(said.answer)
    if swept is None:
        raise _proves_nothing(target, said)
    return swept


def _proves_nothing(target: TargetFacts, said: _Said) -> ConnectorError:
    words = f"{said.complaint} {said.answer}".strip()[:300]
    return ConnectorError(
        f"{target.name} gave no usable answer: {words or 'no output'}. Run `manage.py ssh_check` for details."
    )


def _slot(target: TargetFacts) -> threading.BoundedSemaphore:
    with _slots_lock:
        return _slots.setdefault((target.address, target.port), threading.BoundedSemaphore(HANDSHAKES))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
