"""Access over SSH: nothing is created on a target in advance.

Processes that a grant's commands leave behind are killed.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import asyncssh

from sessions_app.connectors.base import (
    CheckStep,
    ConnectorError,
    Evidence,
    GrantSpec,
    LeaseSpec,
    Observed,
    TargetSpec,
)
from sessions_app.connectors.marks import CHECK_MARK, GRANT_MARK, Mark
from sessions_app.connectors.ssh import check as checks
from sessions_app.connectors.ssh.as_root import end_command, end_scopes_command, parse_root_ended
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.check_commands import (
    parse_answers,
    questions_command,
    questions_of,
    step_of,
)
from sessions_app.connectors.ssh.connection import HANDSHAKES, Dialer, Errand, unreachable
from sessions_app.connectors.ssh.files import clean_command
from sessions_app.connectors.ssh.sweep import (
    Swept,
    count_command,
    marks_command,
    parse_marks,
    parse_sweep,
    sweep_command,
)
from sessions_app.policy.commands.ssh.decide import CompiledSet
from sessions_app.policy.scope import TargetFacts

ANSWER_TIMEOUT = 25.0
# Characters.
LONGEST_ANSWER = 200_000
# Seconds. The maximum difference between clocks.
SLACK = 5
UNTOLD = "as root, processes of the grant can't be distinguished from the system's own"
# Shared by all threads, because simultaneous sweeps of many grants on one target would exceed its
# MaxStartups.
_slots: dict[tuple[str, int], threading.BoundedSemaphore] = {}
_slots_lock = threading.Lock()


class _Said(NamedTuple):
    """A target's output and error output."""

    answer: str
    complaint: str


class SSHConnector:
    """Sweeps targets with its own one-command certificates. Safe to use from any number of threads."""

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

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Return a lease. Nothing is created, because each command has its own certificate."""
        return LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place)

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Kill every process that carries the grant mark, until scans find none. Raises ConnectorError.

        Also look for processes without the mark that may belong to the grant.
        """
        mark = Mark(GRANT_MARK, lease.mark)
        others = [Mark(GRANT_MARK, other) for other in lease.others]
        used_for = (
            None
            if lease.since is None
            else max(0, math.ceil(self._clock() - lease.since.timestamp())) + SLACK
        )
        command = sweep_command(mark, used_for=used_for, others=others)
        is_root = lease.place.target.account == "root"
        if is_root:
            command = f"{end_scopes_command(mark)}; {command}"
        asked = _now()
        said = self._run(lease.place, f"{lease.grant_ref} sweep", command)
        first, line_end, rest = said.answer.partition("\n")
        evidence = _evidence(lease.place, _Said(rest, said.complaint) if is_root else said, asked)
        if is_root:
            evidence = _with_root(lease.place, evidence, _Said(first + line_end, said.complaint))
        if lease.unfinished:
            evidence = self._without_unfinished(lease, evidence)
        if lease.as_root and not is_root:
            said = self._run(lease.place, f"{lease.grant_ref} root sweep", end_command(mark))
            evidence = _with_root(lease.place, evidence, said)
        if is_root and not lease.contained:
            return replace(evidence, detail={**evidence.detail, "processes_without_mark": UNTOLD})
        return evidence

    def _without_unfinished(self, lease: LeaseSpec, evidence: Evidence) -> Evidence:
        """Remove the temporary files of unfinished uploads, and add them to the evidence."""
        command = clean_command(lease.unfinished)
        _check_cleaned(lease.place.target, self._run(lease.place, f"{lease.grant_ref} clean", command))
        return replace(evidence, detail={**evidence.detail, "unfinished_uploads": len(lease.unfinished)})

    def sweep(self, place: TargetSpec, marks: Sequence[str]) -> Evidence:
        """Kill every process that carries one of at most ``MOST_MARKS`` grant marks. Raises
        ConnectorError.
        """
        with _slot(place.target):
            named = [Mark(GRANT_MARK, mark) for mark in marks]
            return asyncio.run(sweep_target(self._dialer(), place, "unknown", *named))

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Count the processes that carry the grant mark. Raises ConnectorError."""
        command = count_command(Mark(GRANT_MARK, lease.mark))
        swept = _swept(lease.place.target, self._run(lease.place, f"{lease.grant_ref} look", command))
        return Evidence(gone=swept.left == 0, detail={"processes_left": swept.left})

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return the grant marks that processes of the login account carry. Raises ConnectorError."""
        said = self._run(place, "observe", marks_command())
        counts = parse_marks(said.answer)
        if counts is None:
            raise _proves_nothing(place.target, said)
        found = sorted((mark, count) for mark, count in counts.items() if mark != CHECK_MARK)
        return [Observed(mark=mark, detail=f"{count} processes") for mark, count in found]

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Log in and report, step by step, whether the setup is correct, and what to fix."""
        return asyncio.run(checks.check_target(self._dialer(), place, clock=self._clock))

    def check_commands(self, place: TargetSpec, sets: Sequence[CompiledSet]) -> list[CheckStep]:
        """Report for each command set whether its programs exist on the target, whether sudo allows those
        that run as root, and whether the ways in which its commands run can reach systemd.
        """
        account = place.target.account
        asked = {one.name: questions_of(one, account) for one in sets if isinstance(one, CompiledSet)}
        questions = list({question.asks: question for some in asked.values() for question in some}.values())
        if not questions:
            return []
        try:
            said = self._run(place, "check commands", questions_command(questions))
        except ConnectorError as error:
            return [CheckStep("commands", False, error.message, "Check again.")]
        answers = parse_answers(said.answer)
        if answers is None:
            return [CheckStep("commands", False, _proves_nothing(place.target, said).message, "Check again.")]
        refused = {questions[number].asks for number in answers if number < len(questions)}
        return [
            step_of(name, some, [one for one in some if one.asks in refused]) for name, some in asked.items()
        ]

    def _run(self, place: TargetSpec, label: str, command: str) -> _Said:
        with _slot(place.target):
            return asyncio.run(_ask(self._dialer(), place, label, command))

    def _dialer(self) -> Dialer:
        return Dialer(lambda: self._key, source_addresses=self._sources, clock=self._clock)


async def sweep_target(dialer: Dialer, place: TargetSpec, label: str, *marks: Mark) -> Evidence:
    """Kill every process that carries one of the marks, and return the evidence. Raises ConnectorError."""
    asked = _now()
    return _evidence(place, await _ask(dialer, place, f"{label} sweep", sweep_command(*marks)), asked)


async def clean_target(dialer: Dialer, place: TargetSpec, label: str, paths: Sequence[str]) -> None:
    """Remove the temporary files of unfinished uploads. Raises ConnectorError."""
    _check_cleaned(place.target, await _ask(dialer, place, label, clean_command(paths)))


def _check_cleaned(target: TargetFacts, said: _Said) -> None:
    if said.answer != "done\n":
        raise _proves_nothing(target, said)


def _evidence(place: TargetSpec, said: _Said, asked: str) -> Evidence:
    swept = _swept(place.target, said)
    return Evidence(
        gone=swept.gone,
        left=_what_is_left(swept),
        detail={
            "asked_at": asked,
            "answered_at": _now(),
            "processes_found": swept.found,
            "processes_left": swept.left,
            "rounds": swept.rounds,
            "processes_of_other_grants_killed": swept.forgers,
            "processes_unread": swept.fleeting,
            "processes_unknown": swept.unknown,
            "unknown": list(swept.named),
        },
    )


def _with_root(place: TargetSpec, evidence: Evidence, said: _Said) -> Evidence:
    """Return the evidence with what was found of root's processes."""
    ended = parse_root_ended(said.answer)
    if ended is None:
        raise _proves_nothing(place.target, said)
    left = f"{ended.left} processes of the grant are still running as root after attempts to kill them."
    return replace(
        evidence,
        gone=evidence.gone and ended.left == 0,
        left=left if evidence.gone else evidence.left,
        detail={**evidence.detail, **ended.detail},
    )


def _what_is_left(swept: Swept) -> str:
    if swept.left:
        return (
            f"{swept.left} processes of the grant are still running after {swept.rounds} attempts to kill "
            "them."
        )
    if swept.fleeting:
        return (
            "Some processes end before they can be read, so they may belong to the grant. Find what starts "
            "them (`pidstat 1`), and stop it."
        )
    return (
        f"{swept.unknown} untagged processes started after the grant and may belong to it: "
        f"{', '.join(swept.named)}. Stop them, or restart them as a service."
    )


async def _ask(dialer: Dialer, place: TargetSpec, key_id: str, command: str) -> _Said:
    async def errand() -> Errand:
        return Errand(serial=0, key_id=key_id, command=command)

    connection = await dialer.dial(place, errand)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            process = await connection.create_process("stint", stdin=asyncssh.DEVNULL, errors="replace")
            return _Said(await _read(process.stdout, place), await _read(process.stderr, place))
    except (TimeoutError, asyncssh.Error, OSError) as error:
        raise unreachable(place.target, f"the connection was lost ({error})") from error
    finally:
        connection.abort()


async def _read(reader: asyncssh.SSHReader[str], place: TargetSpec) -> str:
    """Read to the end of the output, up to the maximum length of a response."""
    try:
        await reader.readexactly(LONGEST_ANSWER)
    except asyncio.IncompleteReadError as error:
        return str(error.partial)
    raise ConnectorError(f"{place.target.name} responded with more than {LONGEST_ANSWER} characters.")


def _swept(target: TargetFacts, said: _Said) -> Swept:
    swept = parse_sweep(said.answer)
    if swept is None:
        raise _proves_nothing(target, said)
    return swept


def _proves_nothing(target: TargetFacts, said: _Said) -> ConnectorError:
    words = f"{said.complaint} {said.answer}".strip()[:300]
    return ConnectorError(
        f"{target.name} gave no usable response: {words or 'no output'}. Run `manage.py ssh_check` for"
        " details."
    )


def _slot(target: TargetFacts) -> threading.BoundedSemaphore:
    with _slots_lock:
        return _slots.setdefault((target.address, target.port), threading.BoundedSemaphore(HANDSHAKES))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
