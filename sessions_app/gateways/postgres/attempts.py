"""The statements of one connection in the record: each is recorded before it is sent, and reported when it
ends.

There is one exception. A read repeats if the record has the same statement on the same connection, whatever
its values, from the last ten minutes. Repeats are counted when they end, and recorded within a second, each
with its values (`core/tally.py`). A repeat that is slow, returns a large result or fails becomes a run of its
own.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.kernel import clock
from broker.kernel.errors import StintError, Unavailable
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.allowance import Allowance
from sessions_app.gateways.core.attempts import NotReleased, attempt, released
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.offered import NOT_TO_BE_ASKED, form_url
from sessions_app.gateways.core.recording import Recording
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import KNOWN_S, Tally
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.transcript import Transcript
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.proofs.postgres import StatementUse
from sessions_app.operations.sessions.try_command import Tried, try_command
from sessions_app.policy.commands.answers import Allowed, CompiledSet, Refused
from sessions_app.policy.commands.postgres.hiding import Hiding
from sessions_app.policy.commands.postgres.sql.showing import Shown
from sessions_app.policy.commands.postgres.statement_set import StatementSet
from sessions_app.policy.commands.postgres.statements import Prepared, Runs, decide_line, prepare
from sessions_app.queries.grants.secret_values import secret_digests
from sessions_app.queries.requests.offers import Question

REFUSED, NO_ANSWER = "42501", "57P03"
LATE = "the database answered too late; nothing was sent"
NOT_SENT = "nothing was sent"
_NOTHING = Recording("", "", 0, 0)
# Seconds, and bytes of a result. A read that takes longer or returns more is a run of its own.
SOON_S, SMALL = 1.0, 64 * 1024
# The maximum number of statements of one connection whose repeats are counted.
_MOST_KNOWN = 1000


class NotRun(Exception):
    """A statement is not sent. ``answer`` is the ErrorResponse for its client."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        super().__init__("a statement is not sent")


@dataclass(slots=True, eq=False)
class Run:
    """One allowed statement.

    ``tried`` is None for a repeated read that is only counted. ``rows`` and ``size`` (bytes) count the part
    of its result that the client has received. ``sent``: the target may have received it. ``uncommitted``: it
    has run, and nothing has been sent that commits it. ``beyond``: its result exceeds the budget, so the rest
    of the result is withheld, and the statement is rolled back.
    """

    tried: Tried | None
    runs: Runs | None
    uncommitted: bool = False
    rows: int = 0
    size: int = 0
    sent: bool = False
    began: float = 0.0
    allowance: Allowance | None = None
    beyond: bool = False
    # The recording of a repeated read that became a run of its own.
    becoming: asyncio.Task[None] | None = None

    @property
    def entry(self) -> Tried:
        """The run's entry in the record. Repeated reads have none."""
        if self.tried is None:
            raise AssertionError
        return self.tried

    @property
    def shown(self) -> Shown | None:
        """The details that approvers see, if its COMMIT is held."""
        return self.runs.shown if self.runs is not None else None

    @property
    def most(self) -> int | None:
        """The maximum number of rows that the statement may change; None if there is no limit."""
        return self.runs.max_rows if self.runs is not None else None

    @property
    def limited(self) -> bool:
        """Whether the number of rows is checked before the client gets the end of the result."""
        return self.most is not None or self.allowance is not None

    def send(self) -> None:
        """Note that the statement is being sent."""
        if not self.sent:
            self.sent, self.began = True, time.monotonic()

    @property
    def is_small(self) -> bool:
        """Whether the result is small so far, and the statement has not run for long."""
        return self.size <= SMALL and time.monotonic() - self.began < SOON_S


class Attempts:
    """All statements of one connection."""

    def __init__(self, shared: Shared, session: OpenSession[StatementUse], tally: Tally) -> None:
        self._shared, self._session, self._use = shared, session, session.use
        self._tally = tally
        self.hiding = Hiding(session.use.compiled, secret_digests(session.use.mark))
        self._has_budgets = session.use.compiled.counts
        # The order from a page that these statements carry out, and the object that keeps their results.
        self.order_id: int | None = None
        self.transcript: Transcript | None = None
        self.kept: Callable[[Run], Recording | None] = _nothing_kept
        # When each small read was last recorded, by its text with `$n` for its values.
        self._known: dict[str, float] = {}
        # By the index of a command, whether repeats of what it allows are counted.
        self._counted: dict[int, bool] = {}
        self._timer: asyncio.TimerHandle | None = None
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

        ``question`` queries which other access would allow the statement.
        """
        shown = self.hiding.text(line, values)
        self._note(shown)
        try:
            await self._try(shown, self.hiding.refused(refused))
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
        allowed = self._recorded(runs)
        try:
            tried = await self._try(allowed.line, allowed)
        except StintError as error:
            raise NotRun(error_of(error)) from error
        if isinstance(tried.decision, Refused):
            raise NotRun(wire.error(REFUSED, f"Stint refused this statement: {tried.message}"))
        run = Run(tried, runs)
        self.open.add(run)
        self._note(tried.line)
        if tried.verdict == "held":
            say(tried.message)
            await self._released(run, tried)
        if run.tried is not None and run.tried.counts:
            run.allowance = Allowance(self._shared.database, run.tried)
        if self.transcript is not None and run.tried is not None:
            self.transcript.ran(run.tried.run_id)
        return run

    def _note(self, line: str) -> None:
        if self.transcript is not None:
            self.transcript.statement(line)

    def note(self, run: Run) -> None:
        """Add a repeated read to the metrics, and to the recording of the connection."""
        metrics.ALLOWED.inc()
        if self.transcript is not None and run.runs is not None:
            self.transcript.statement(self._recorded(run.runs).line)

    def show(self, message: bytes) -> None:
        """Add a message that the client gets to the recording of the connection."""
        if self.transcript is not None:
            self.transcript.answered(message)

    def knows(self, text: str) -> bool:
        """Whether statements with this text may repeat one in the record."""
        return text in self._known

    def repeat(self, runs: Runs) -> Run | None:
        """Begin a read that repeats one in the record. None if the statement must be recorded first.

        Call ``note`` next.
        """
        known_at = self._known.get(runs.text)
        if known_at is None or self._session.grant.suspended or self._tally.behind:
            return None
        if not self._only_reads(runs):
            return None
        if time.monotonic() - known_at > KNOWN_S:
            del self._known[runs.text]
            return None
        run = Run(None, runs)
        self.open.add(run)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOON_S / 2, self._look)
        return run

    def _recorded(self, runs: Runs) -> Allowed:
        return runs.recorded(self.hiding.digest)

    def _look(self) -> None:
        """Turn repeats that take long into runs of their own."""
        self._timer = None
        repeats = [run for run in self.open if run.tried is None and run.becoming is None]
        for run in repeats:
            if run.sent and not run.is_small:
                self._become_run(run)
        if repeats:
            self._timer = asyncio.get_running_loop().call_later(SOON_S / 2, self._look)

    def _become_run(self, run: Run) -> None:
        if run.runs is not None:
            self._known.pop(run.runs.text, None)
            run.becoming = asyncio.create_task(self._made_run(run, self._recorded(run.runs)))

    async def _made_run(self, run: Run, allowed: Allowed) -> None:
        # If this fails, for example because the grant has ended meanwhile, the read is counted.
        with contextlib.suppress(StintError):
            run.tried = await self._shared.database.run(
                _record, use=self._use, session_id=self._session.id, allowed=allowed
            )

    def counts(self, runs: Runs) -> bool:
        """Whether budgets count the results of a statement."""
        budgets = self._use.compiled.budgets_of(runs.command.index) if self._has_budgets else ()
        return any(one.measure in ("bytes", "rows") for _, one in budgets)

    def _only_reads(self, runs: Runs) -> bool:
        """Whether repeats of a statement can be counted together.

        They can if the statement only reads, needs no approval, and has no time limit, row limit or budget.
        """
        index, rule = runs.command.index, runs.command.rule
        if index not in self._counted:
            limited = rule.held or rule.finish_seconds or rule.rows
            budgets = self._has_budgets and self._use.compiled.budgets_of(index)
            self._counted[index] = rule.effect == "read" and not (limited or budgets)
        return self._counted[index]

    async def _released(self, run: Run, tried: Tried) -> None:
        try:
            run.tried = await released(self._shared, self._use, tried)
        except NotReleased as error:
            if error.state == "held":
                self.finish(run, "failed", error.message)
            # Otherwise, the record already has the end of the statement.
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
        now = self._shared.node.clock.now()
        if run.tried is None and run.becoming is None and (state == "failed" or run.size > SMALL):
            self._become_run(run)
        if run.tried is None and run.becoming is None:
            self._count(run, now)
        elif run.becoming is None:
            self._learn(run, state)
            self._report(run, state, reason, now)
        else:
            run.becoming.add_done_callback(lambda _: self._report(run, state, reason, now))

    def _learn(self, run: Run, state: str) -> None:
        if state != "done" or run.runs is None or not (run.sent and run.is_small):
            return
        if self._only_reads(run.runs):
            self._known[run.runs.text] = time.monotonic()
            if len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]

    def _count(self, run: Run, now: dt.datetime) -> None:
        if run.runs is None or self._session.id is None:
            raise AssertionError
        self._tally.count(self._session.id, self._use, self._recorded(run.runs), now)

    def _report(self, run: Run, state: str, reason: str, now: dt.datetime) -> None:
        if run.tried is None:
            return self._count(run, now)
        recording, why = self._recording(run) if state == "done" else (_NOTHING, "")
        seconds = round(time.monotonic() - run.began, 3) if run.sent else 0.0
        self._shared.node.registry.reports.send(
            self._session,
            finish_run,
            run_id=run.tried.run_id,
            state=state,
            reason=self.hiding.failure(reason) or why,
            output_bytes=run.size,
            rows=run.rows if run.sent else None,
            recording=recording.path,
            recording_digest=recording.digest,
            recording_bytes=recording.file_bytes,
            exchanged={"rows": run.rows, "seconds": seconds},
            unused=run.allowance.unused if run.allowance else {},
            sent=run.sent,
            now=now,
            plain={"reason": "its result could not be recorded"},
        )
        return None

    def _recording(self, run: Run) -> tuple[Recording, str]:
        """Keep the result of a run. Return its recording, and the reason if there is none."""
        try:
            return self.kept(run) or _NOTHING, ""
        except OSError as error:
            return _NOTHING, f"its result can't be kept: {error.strerror}"

    def done_with(self, run: Run | None) -> None:
        """Report the statement of a portal or cursor that the client has not read to its end."""
        if run is not None and run in self.open and not run.uncommitted:
            self.finish(run, "done")

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


def _record(*, use: StatementUse, session_id: int, allowed: Allowed) -> Tried:
    return try_command(use=use, session=session_id, line=allowed.line, decision=allowed, now=clock.now())


def _nothing_kept(run: Run) -> None:
    del run


def error_of(error: StintError) -> bytes:
    """Return the ErrorResponse for an error of Stint's own."""
    code = NO_ANSWER if isinstance(error, Unavailable) else REFUSED
    return wire.error(code, error.message, hint=error.hint or "")
