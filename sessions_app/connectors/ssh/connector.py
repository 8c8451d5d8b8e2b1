"""Access over SSH: nothing is made on a target beforehand; what a grant's commands left behind is found and killed."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence

import asyncssh

from sessions_app.connectors.base import CheckStep, ConnectorError, Evidence, GrantSpec, LeaseSpec
from sessions_app.connectors.ssh import check as checks
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connection import HANDSHAKES, Dialer, Errand, unreachable
from sessions_app.connectors.ssh.wrapper import (
    GRANT_MARK,
    Mark,
    Swept,
    count_command,
    parse_sweep,
    sweep_command,
)
from sessions_app.policy.scope import TargetFacts

ANSWER_TIMEOUT = 25.0
# Sweeps of many grants on one target at once would overrun its MaxStartups, whatever threads they come from.
_slots: dict[tuple[str, int], threading.BoundedSemaphore] = {}
_slots_lock = threading.Lock()


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

    def provision(self, spec: GrantSpec) -> list[LeaseSpec]:
        """Make nothing: each command brings its own certificate."""
        del spec
        return []

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Kill every process that carries the grant's mark, until a look finds none. Raises ConnectorError."""
        with _slot(lease.target):
            return asyncio.run(
                sweep_target(
                    self._dialer(),
                    lease.target,
                    lease.host_ca,
                    lease.grant_ref,
                    Mark(GRANT_MARK, lease.token),
                )
            )

    def observe(self, lease: LeaseSpec) -> Evidence:
        """Count the processes that carry the grant's mark. Raises ConnectorError."""
        command = count_command(Mark(GRANT_MARK, lease.token))
        with _slot(lease.target):
            swept = asyncio.run(
                _ask(self._dialer(), lease.target, lease.host_ca, f"{lease.grant_ref} look", command)
            )
        return Evidence(gone=swept.left == 0, detail={"processes_left": swept.left})

    def check(self, *, target: TargetFacts, host_ca: str) -> list[CheckStep]:
        """Log in and report step by step what is right and what to fix."""
        return asyncio.run(checks.check_target(self._dialer(), target, host_ca, clock=self._clock))

    def _dialer(self) -> Dialer:
        return Dialer(lambda: self._key, source_addresses=self._sources, clock=self._clock)


async def sweep_target(dialer: Dialer, target: TargetFacts, host_ca: str, label: str, mark: Mark) -> Evidence:
    """Kill what carries the mark and return what the target saw. Raises ConnectorError."""
    asked = _now()
    swept = await _ask(dialer, target, host_ca, f"{label} sweep", sweep_command(mark))
    return Evidence(
        gone=swept.left == 0,
        detail={
            "asked_at": asked,
            "answered_at": _now(),
            "processes_found": swept.found,
            "processes_left": swept.left,
            "rounds": swept.rounds,
        },
    )


async def _ask(dialer: Dialer, target: TargetFacts, host_ca: str, key_id: str, command: str) -> Swept:
    async def errand() -> Errand:
        return Errand(serial=0, key_id=key_id, command=command)

    connection = await dialer.dial(target, host_ca, errand)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            answer = await connection.run("stint", stdin=asyncssh.DEVNULL, errors="replace")
    except (TimeoutError, asyncssh.Error, OSError) as error:
        raise unreachable(target, f"it went away while it was asked ({error})") from error
    finally:
        connection.abort()
    swept = parse_sweep(str(answer.stdout))
    if swept is None:
        said = " ".join(str(part or "") for part in (answer.stderr, answer.stdout)).strip()[:300]
        raise ConnectorError(
            f"{target.name} gave no answer that proves anything: {said or 'it said nothing'}. "
            "`manage.py ssh_check` says what is missing there."
        )
    return swept


def _slot(target: TargetFacts) -> threading.BoundedSemaphore:
    with _slots_lock:
        return _slots.setdefault((target.address, target.port), threading.BoundedSemaphore(HANDSHAKES))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
