"""The statements of one connection in the record: each is recorded before it is sent, and reported when it
ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.kernel.errors import StintError, Unavailable
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.attempts import NotReleased, attempt, released
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.offered import NOT_TO_BE_ASKED, form_url
from sessions_app.gateways.core.recording import Recording
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.hiding import Hiding
from sessions_app.gateways.postgres.transcript import Transcript
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.proofs.postgres import StatementUse
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.answers import Allowed, CompiledSet, Refused
from sessions_app.policy.commands.postgres.sql.showing import Shown
from sessions_app.policy.commands.postgres.statement_set import StatementSet
from sessions_app.policy.commands.postgres.statements import Prepared, Runs, decide_line, prepare
from sessions_app.queries.requests.offers import Question

REFUSED, NO_ANSWER = "42501", "57P03"
LATE = "the database answered too late; nothing was sent"
NOT_SENT = "nothing was sent"
_NOTHING = Recording("", "", 0, 0)


class NotRun(Exception):
    """A statement is not sent. ``answer`` is the ErrorResponse for its client."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        super().__init__("a statement is not sent")


@dataclass(slots=True, eq=False)
class Run:
    """One allowed statement.

    ``rows`` and ``size`` (bytes) count the part of its result that the client has received.

    ``sent``: the target may have received it. ``most`` is the maximum number of rows that it may touch; None
    for any. ``shown`` is what its hold shows, if its COMMIT is held. ``uncommitted``: it has run, and nothing
    has been sent that commits it.
    """

    tried: Tried
    most: int | None
    shown: Shown | None = None
    uncommitted: bool = False
    rows: int = 0
    size: int = 0
    sent: bool = False
    began: float = 0.0

    def send(self) -> None:
        """Note that the statement is being sent."""
        self.sent, self.began = True, time.monotonic()


class Attempts:
    """All statements of one connection."""

    def __init__(self, shared: Shared, session: OpenSession[StatementUse]) -> None:
        self._shared, self._session, self._use = shared, session, session.use
        self._hiding = Hiding(session.use.compiled, session.use.mark)
        # The order from a page that these statements carry out, and what keeps their results.
        self.order_id: int | None = None
        self.transcript: Transcript | None = None
        self.kept: Callable[[Run], Recording | None] = _nothing_kept
        # Those that have not ended.
        self.open: set[Run] = set()

    async def refused(
        self,
        line: str,
        refused: Refused,
        question: Question | None = None,
        values: Sequence[str | None] = (),
    ) -> NotRun:
        """Record that a statement is not allowed with these bound values, and return the error for its
        client.

        ``question`` asks what else would allow it.
        """
        shown = self._hiding.text(line, values)
        self._note(shown)
        try:
            await self._try(shown, self._hiding.refused(refused))
            url = await self._shared.database.run(self._url, refused=refused, line=line, question=question)
        except StintError as error:
            return NotRun(error_of(error))
        return NotRun(
            wire.error(
                REFUSED,
                f"Stint refused this statement: {refused.reason}.",
                detail=f"Nearest: {refused.nearest}" if refused.nearest else "",
                hint=f"Request it: {url}" if url else "",
            )
        )

    async def refused_values(self, text: str, values: Sequence[str | None], refused: Refused) -> NotRun:
        """Record that a prepared statement is not allowed with these values, and return the error."""

        def question(compiled: CompiledSet) -> Allowed | Refused:
            found = prepare(compiled, text) if isinstance(compiled, StatementSet) else refused
            bound = found.bind(values) if isinstance(found, Prepared) else refused
            return bound.allowed if isinstance(bound, Runs) else bound

        return await self.refused(text, refused, question, values)

    async def begin(self, runs: Runs, say: Callable[[str], None]) -> Run:
        """Record an allowed statement, and wait if another person has to approve it. Raises NotRun.

        ``say`` shows messages to its holder during the wait.
        """
        allowed = runs.recorded(self._hiding.digest)
        try:
            tried = await self._try(allowed.line, allowed)
        except StintError as error:
            raise NotRun(error_of(error)) from error
        if isinstance(tried.decision, Refused):
            raise NotRun(wire.error(REFUSED, f"Stint refused this statement: {tried.message}"))
        run = Run(tried, runs.max_rows, runs.shown)
        self.open.add(run)
        self._note(tried.line)
        if tried.verdict == "held":
            say(tried.message)
            await self._released(run)
        if self.transcript is not None:
            self.transcript.ran(run.tried.run_id)
        return run

    def _note(self, line: str) -> None:
        if self.transcript is not None:
            self.transcript.statement(line)

    async def _released(self, run: Run) -> None:
        try:
            run.tried = await released(self._shared, self._use, run.tried)
        except NotReleased as error:
            if error.state == "held":
                self.finish(run, "failed", error.message)
            # Otherwise the record already has its end.
            self.open.discard(run)
            raise NotRun(wire.error(REFUSED, error.message)) from error
        except StintError as error:
            self.finish(run, "failed", error.message)
            raise NotRun(error_of(error)) from error

    async def _try(self, line: str, decision: Allowed | Refused) -> Tried:
        tried = await attempt(
            self._shared,
            self._session,
            self._use,
            line=line,
            decision=decision,
            order_id=self.order_id,
            too_late=self._too_late,
        )
        metrics.COMMANDS.labels(tried.verdict).inc()
        return tried

    def _too_late(self, tried: Tried) -> None:
        if isinstance(tried.decision, Allowed):
            self.finish(Run(tried, None), "failed", LATE)

    def finish(self, run: Run, state: str, reason: str = "") -> None:
        """Report how a statement ended: ``done``, ``failed`` or ``cut``."""
        self.open.discard(run)
        recording, why = self._recording(run) if state == "done" else (_NOTHING, "")
        seconds = round(time.monotonic() - run.began, 3) if run.sent else 0.0
        self._shared.node.registry.reports.send(
            self._session,
            finish_run,
            run_id=run.tried.run_id,
            state=state,
            reason=self._hiding.failure(reason) or why,
            output_bytes=run.size,
            rows=run.rows if run.sent else None,
            recording=recording.path,
            recording_digest=recording.digest,
            recording_bytes=recording.file_bytes,
            exchanged={"rows": run.rows, "seconds": seconds},
            now=self._shared.node.clock.now(),
            plain={"reason": "its result could not be recorded"},
        )

    def _recording(self, run: Run) -> tuple[Recording, str]:
        """Keep the result of a run, and return its recording, and why there is none."""
        try:
            return self.kept(run) or _NOTHING, ""
        except OSError as error:
            return _NOTHING, f"its result can't be kept: {error.strerror}"

    def finish_all(self, reason: str) -> None:
        """Report every statement that has not ended as cut."""
        for run in list(self.open):
            self.finish(run, "cut", f"{reason}; rolled back" if run.uncommitted else reason)

    def _url(self, *, refused: Refused, line: str, question: Question | None) -> str:
        if refused.code in NOT_TO_BE_ASKED:
            return ""

        def named(compiled: CompiledSet) -> Allowed | Refused:
            return decide_line(compiled, line) if isinstance(compiled, StatementSet) else refused

        asked = question or named
        return form_url(self._use.holder_id, self._use.cluster, asked)


def _nothing_kept(run: Run) -> None:
    del run


def error_of(error: StintError) -> bytes:
    """Return the ErrorResponse for an error of Stint's own."""
    code = NO_ANSWER if isinstance(error, Unavailable) else REFUSED
    return wire.error(code, error.message, hint=error.hint or "")
