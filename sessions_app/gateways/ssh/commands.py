"""Run one command: record the decision, run the command on its own connection to the target, and report the
result.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Mapping

import asyncssh
import structlog

from broker.audit.record import Json
from broker.kernel import request_id, tracing
from broker.kernel.errors import Unavailable
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.marks import CannotWrap, run_mark
from sessions_app.connectors.ssh.connection import Errand, cut
from sessions_app.connectors.ssh.connector import sweep_target
from sessions_app.connectors.ssh.options import LONGEST_PACKET
from sessions_app.connectors.ssh.wrapper import force_command
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.first import try_first
from sessions_app.gateways.core.recording import Recorder, Recording
from sessions_app.gateways.core.registry import Ended, OpenSession
from sessions_app.gateways.ssh.parts import ExecutionResult, Parts
from sessions_app.gateways.ssh.relay import CommandIO, TargetSession
from sessions_app.operations.sessions.authorize_use import life_of_use
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.operations.sessions.release_held import release_held
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.ssh.decide import Allowed
from sessions_app.queries.grants.current import TIME_OVER, hold_of
from sessions_app.queries.record.recording_files import recording_path

log = structlog.get_logger(__name__)


BY_SFTP = answers.Refused("use sftp or scp to transfer files: a command can't", None, "transfer")


class CommandExecution:
    """One line, which is tried in a session, and run if allowed. ``stop`` may be called at any time."""

    carries_files = False
    # What approvers see of an upload while it is held.
    shown: str | None = None

    def __init__(
        self,
        parts: Parts,
        session: OpenSession[Use],
        line: str,
        decision: answers.Allowed | answers.Refused,
        io: CommandIO,
        *,
        order_id: int | None = None,
    ) -> None:
        """``decision`` is the session's decision on the line. ``order_id`` is the order from a page that the
        command carries out.
        """
        if isinstance(decision, Allowed) and decision.transfer is not None and not self.carries_files:
            decision = BY_SFTP
        self._order_id = order_id
        self._parts = parts
        self._session = session
        self._use = session.use
        self._line = line
        self._decision = decision
        self._io = io
        self._stopped = ""
        self._alone = False
        self._waiting: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._target: TargetSession | None = None
        self._connection: asyncssh.SSHClientConnection | None = None
        self._wake = asyncio.Event()
        self._finish_by: dt.datetime | None = None
        self._finish_seconds = 0

    @property
    def finish_by(self) -> dt.datetime | None:
        """The time until which the command may run past the grant's end; None if the command is cut then
        or has not started.
        """
        return self._finish_by

    @property
    def finish_seconds(self) -> int:
        """The number of seconds that the command may run past the grant's end; 0 if the command is cut then
        or has not started.
        """
        return self._finish_seconds

    def stop(self, reason: str) -> None:
        """Cut the command: start nothing more, and close its connection, which ends the running command."""
        self._stopped = self._stopped or reason
        self._wake.set()
        if self._waiting is not None:
            self._waiting.cancel()
        if self._connection is not None:
            cut(self._connection)

    def _stop_alone(self, reason: str) -> None:
        """Cut the command, while its grant continues."""
        self._alone = True
        self.stop(reason)

    async def run(self) -> ExecutionResult:
        """Record, run and report the command under a new request ID. Raises StintError if the command
        could not be recorded or run.
        """
        with request_id.bound(request_id.make()), tracing.span_in(life_of_use(self._use), "stint.command"):
            return await self._run()

    async def _run(self) -> ExecutionResult:
        begun: asyncio.Future[Errand] = asyncio.get_running_loop().create_future()
        if isinstance(self._decision, Allowed) and not self._decision.hold:
            # The handshake with the target continues while the attempt is recorded. Only then is the
            # certificate signed.
            self._waiting = asyncio.create_task(self._dial(begun))
        try:
            tried = await self._begin()
            metrics.COMMANDS.labels(tried.verdict).inc()
            if tried.verdict == "refused":
                return ExecutionResult(state="refused", message=tried.message)
            if tried.verdict == "held":
                outcome = await self._wait_for_release(tried)
                if isinstance(outcome, ExecutionResult):
                    return outcome
                tried = outcome
            return await self._carry_out(tried, begun)
        finally:
            begun.cancel()
            await self._drop_dial()

    async def _begin(self) -> Tried:
        """Record the session with its first command, and the attempt, in one transaction."""
        return await try_first(
            self._parts.database,
            self._session,
            gateway_id=self._parts.gateway_id,
            line=self._line,
            decision=self._decision,
            order_id=self._order_id,
            shown=self.shown,
            now=self._parts.clock.now(),
            too_late=self._too_late,
        )

    def _too_late(self, tried: Tried) -> None:
        """Report an attempt that was recorded after its caller had stopped waiting."""
        self._report(tried, ExecutionResult(state="failed", message="the database answered too late"), None)

    async def _dial(self, begun: asyncio.Future[Errand]) -> asyncssh.SSHClientConnection:
        async def errand() -> Errand:
            return await asyncio.shield(begun)

        return await self._parts.dialer.dial(self._use.place, errand)

    def _errand(self, tried: Tried) -> Errand:
        use = self._use
        if tried.deadline is None or not isinstance(tried.decision, Allowed):
            raise Ended(f"{use.grant_ref} does not allow this command.")
        command = self._forced(tried, tried.decision, self._parts.clock.until(tried.deadline))
        # The key ID, which sshd writes to its log.
        key_id = f"{use.grant_ref}/{tried.run_id} {use.holder} {request_id.current()}".rstrip()
        return Errand(serial=tried.serial, key_id=key_id, command=command)

    def _forced(self, tried: Tried, decision: Allowed, seconds: float) -> str:
        """Return the command that the certificate forces, for at most ``seconds``. Raises CannotWrap."""
        return force_command(
            decision.argv,
            contain=decision.contain,
            account=self._use.target.account,
            grant_mark=self._use.mark,
            run_id=tried.run_id,
            seconds=seconds,
            as_root=decision.as_root,
        )

    def _check(self) -> None:
        if self._stopped:
            raise Ended(f"{self._use.grant_ref} has ended.")
        self._session.check()

    async def _wait_for_release(self, tried: Tried) -> Tried | ExecutionResult:
        """Wait until another person approves the command, and use that approval, which is valid once."""
        if not isinstance(tried.decision, answers.Allowed):
            raise AssertionError  # noqa: TRY004  # only allowed commands are held
        self._io.note(tried.message)
        while not self._stopped:
            now = self._parts.clock.now
            try:
                hold = await self._parts.database.run(hold_of, run_id=tried.run_id, now=now())
                if hold.state == "allowed":
                    self._io.note(hold.message)
                    return await self._parts.database.run(
                        release_held,
                        use=self._use,
                        run_id=tried.run_id,
                        line=tried.line,
                        decision=tried.decision,
                        now=now(),
                    )
            except Unavailable:
                await asyncio.sleep(1)
                continue
            if hold.state != "held":
                return ExecutionResult(state="refused", message=hold.message)
            await self._next_news(tried.run_id)
        outcome = ExecutionResult(state="cut", message=self._stopped)
        self._report(tried, outcome, None)
        return outcome

    async def _next_news(self, run_id: int) -> None:
        waits = [
            asyncio.ensure_future(self._parts.holds.next(run_id)),
            asyncio.ensure_future(self._wake.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _carry_out(self, tried: Tried, begun: asyncio.Future[Errand]) -> ExecutionResult:
        recorder = None
        try:
            recorder = await self._record(tried)
            self._check()
            begun.set_result(self._errand(tried))
            self._parts.alone.used(self._use, tried)
            if self._waiting is None:
                self._waiting = asyncio.create_task(self._dial(begun))
            connection = await self._waiting
            self._connection = connection
            outcome = await self._execute(connection, tried, recorder)
        except asyncio.CancelledError:
            if not self._stopped:
                self._report(tried, ExecutionResult(state="cut", message="the gateway stopped it"), recorder)
                raise
            outcome = ExecutionResult(state="cut", message=self._stopped)
        except Ended as error:
            outcome = ExecutionResult(state="cut", message=self._stopped or error.message)
        except (ConnectorError, CannotWrap, OSError, asyncssh.Error, Unavailable) as error:
            outcome = self._broken(str(error))
        except Exception as error:  # every failure ends the run, which must be reported
            log.exception("command.failed", run=tried.run_id, error=type(error).__name__)
            outcome = self._broken("internal error; see the gateway's log")
        self._io.attach(None)
        self._report(tried, outcome, recorder)
        if outcome.state == "cut":
            await self._sweep(tried)
        return outcome

    async def _record(self, tried: Tried) -> Recorder | None:
        room = await self._parts.database.run(self._parts.rooms.room_for, grant_id=self._use.grant_id)
        recorder = Recorder(
            self._parts.recordings,
            recording_path(self._use.grant_ref, tried.run_id),
            title=f"{self._use.grant_ref} {self._use.holder} on {self._use.target.name}: {self._line}",
            started=self._parts.clock.now(),
            room=room,
        )
        self._parts.broadcasts.add(tried.run_id, recorder)
        self._parts.stops.add(tried.run_id, recorder, self._stop_alone)
        return recorder

    async def _execute(
        self, connection: asyncssh.SSHClientConnection, tried: Tried, recorder: Recorder | None
    ) -> ExecutionResult:
        self._target = target = TargetSession(self._io, recorder)
        try:
            self._check()
            await connection.create_session(
                lambda: target, "stint", encoding=None, max_pktsize=LONGEST_PACKET
            )
            if isinstance(tried.decision, Allowed) and tried.decision.finish_seconds:
                self._finish_by = tried.deadline
                self._finish_seconds = tried.decision.finish_seconds
            self._io.attach(target)
            if self._stopped:
                connection.abort()
            await target.over.wait()
        except (OSError, asyncssh.Error) as error:
            if self._stopped:
                raise Ended(self._stopped) from error
            raise
        finally:
            connection.abort()
        return self._judge(target, tried)

    def _judge(self, target: TargetSession, tried: Tried) -> ExecutionResult:
        if target.record_error is not None:
            return ExecutionResult(
                state="cut", message=f"its output can't be recorded: {target.record_error.strerror}"
            )
        if self._stopped:
            return ExecutionResult(
                state="cut", exit_status=target.exit_status, signal=target.signal, message=self._stopped
            )
        if target.exit_status is None and not target.signal:
            return self._broken(f"the connection to {self._use.target.name} was lost")
        killed = target.signal == "KILL" or target.exit_status == 137  # 128 + SIGKILL
        if killed and tried.deadline is not None and self._parts.clock.until(tried.deadline) < 0.05:
            return ExecutionResult(
                state="cut", exit_status=target.exit_status, signal=target.signal, message=TIME_OVER
            )
        return ExecutionResult(state="done", exit_status=target.exit_status, signal=target.signal)

    def _broken(self, why: str) -> ExecutionResult:
        """Return the outcome of an interrupted command: `failed` if nothing was sent to the target,
        otherwise `cut`.
        """
        if self._target is None or not self._target.opened:
            return ExecutionResult(state="failed", message=why)
        return ExecutionResult(state="cut", message=f"{why}; the command may still be running")

    def _report(self, tried: Tried, outcome: ExecutionResult, recorder: Recorder | None) -> None:
        recording = Recording("", "", 0, 0)
        if recorder is not None:
            try:
                recording = recorder.close()
            except OSError as error:
                log.warning("recording.not_closed", run=tried.run_id, error=str(error))
        self._parts.reports.send(
            self._session,
            finish_run,
            run_id=tried.run_id,
            state=outcome.state if outcome.state != "refused" else "failed",
            exit_status=outcome.exit_status,
            signal=outcome.signal,
            output_bytes=recording.output_bytes,
            recording=recording.path,
            recording_digest=recording.digest,
            recording_bytes=recording.file_bytes,
            reason=outcome.message,
            exchanged=self._exchanged(),
            now=self._parts.clock.now(),
            plain={"exit_status": None, "signal": "", "reason": "its result could not be recorded"},
        )

    def _exchanged(self) -> Mapping[str, Json] | None:
        """Return the facts about the transferred content for the record; None for a command."""
        return None

    async def _sweep(self, tried: Tried) -> None:
        """Kill processes that left the command's process group, if the grant continues, or if its other
        commands may still finish.

        Otherwise, the sweep at the grant's end kills them all.
        """
        if not self._alone and not any(user.finish_by is not None for user in self._session.grant.users()):
            return
        mark = run_mark(self._use.mark, tried.run_id)
        try:
            await sweep_target(
                self._parts.dialer, self._use.place, f"{self._use.grant_ref}/{tried.run_id}", mark
            )
        except ConnectorError as error:
            log.warning("command.not_swept", run=tried.run_id, error=error.message)

    async def _drop_dial(self) -> None:
        """Close a connection on which nothing was run."""
        if self._waiting is None:
            return
        self._waiting.cancel()
        # The connection's error was already reported.
        with contextlib.suppress(asyncio.CancelledError, Exception):
            (await self._waiting).abort()
