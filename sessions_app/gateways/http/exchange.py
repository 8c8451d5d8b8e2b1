"""Decide and record one request, forward it, and relay its response until the response ends or is cut."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from aiohttp import ClientError, web

from broker.kernel.errors import StintError
from broker.kernel.problems import problem
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.allowance import Allowance
from sessions_app.gateways.core.aside import aside
from sessions_app.gateways.core.attempts import NotReleased, attempt, released
from sessions_app.gateways.core.bodies import of_the_client
from sessions_app.gateways.core.body_budget import BodyBudget
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.cuttable import Cuttable
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.heads import HeadRefused, again
from sessions_app.gateways.core.outcomes import GIVEN_UP, Report, failed_by, is_gone
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.http.answers import Withheld, answer_json
from sessions_app.gateways.http.asked import Asked
from sessions_app.gateways.http.carried import Body, Kept, Nothing, Passed, kept_of, read_carried
from sessions_app.gateways.http.credentials import Credentials
from sessions_app.gateways.http.recording import denial_of
from sessions_app.gateways.http.relay import Relay
from sessions_app.gateways.http.upstream import SILENT_S, Upstream
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.proofs.gateway import GatewayUse
from sessions_app.operations.sessions.try_command import TOO_MANY_WAITING, Tried
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.http.carried import plan
from sessions_app.policy.commands.http.contents import ABSENT, Upload, words_of
from sessions_app.policy.commands.http.decide import Allowed, decide_request
from sessions_app.policy.commands.json_values.bodies import BodyRefused
from sessions_app.queries.grants.tokens import ENDS_OF_TOKENS

log = structlog.get_logger(__name__)

# In bytes on disk, for one grant and for all grants.
FILES_OF_ONE, FILES_OF_ALL = 256 * 1024 * 1024, 2 * 1024 * 1024 * 1024
# After this many seconds, a repeated small read becomes a run, which people can see and cut.
SOON_S = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The services that carrying out a request requires. ``files`` limits the disk space of forms' files."""

    shared: Shared
    upstream: Upstream
    credentials: Credentials
    tally: Tally
    files: BodyBudget = field(default_factory=lambda: BodyBudget(of_one=FILES_OF_ONE, of_all=FILES_OF_ALL))


@dataclass(frozen=True, slots=True)
class Broken:
    """A response can't be relayed. Contains the status and code to respond with if nothing was sent yet."""

    status: int
    code: str
    why: str


class NotMade(Exception):
    """The request is refused. Contains the problem to respond with."""

    def __init__(self, status: int, code: str, title: str, detail: str = "", **more: Any) -> None:
        self.status, self.body = status, problem(status=status, code=code, title=title, detail=detail, **more)
        super().__init__(title)


class Exchange(Cuttable):
    """One request in a session. No part of the request may run past the grant's end."""

    def __init__(self, parts: Parts, session: OpenSession[GatewayUse], use: GatewayUse, asked: Asked) -> None:
        """``use`` belongs to this request, because the target's credential may have changed since the
        session's first request.
        """
        super().__init__()
        self._parts, self._session, self._use, self._asked = parts, session, use, asked
        self._body: Body = Nothing()
        self._room = contextlib.ExitStack()
        self._relay: Relay | None = None
        self._run_id: int | None = None
        self._allowance: Allowance | None = None
        self._counted = False
        self._unread: HeadRefused | None = None
        self._recording = asyncio.Lock()
        self._becoming: asyncio.Task[None] | None = None
        self._report: Report | None = None

    def tell(self, text: str) -> None:
        """Do nothing: a response has no place for messages from Stint."""

    async def run(self) -> web.StreamResponse:
        """Return the response. If it came from the target, it has already been sent in full.

        Raises StintError or HeadRefused.
        """
        self._task = task = asyncio.current_task()
        self._session.enter(self)
        try:
            return await self._work()
        except NotMade as error:
            self._report = Report("failed", str(error))
            return answer_json(error.status, error.body)
        except asyncio.CancelledError:
            if not self._stopped or task is None:
                self._report = Report("cut", GIVEN_UP)
                raise
            task.uncancel()
            self._report = Report("cut", self._stopped)
            return await self._cut()
        except Exception as error:
            self._report = failed_by(error, sent=self._relay is not None and self._relay.sent)
            raise
        finally:
            self._body.close()
            self._room.close()
            self._finish()
            self._session.leave(self)

    async def _cut(self) -> web.StreamResponse:
        """End the response with the reason if the protocol allows that; otherwise drop the connection to
        the client.
        """
        ref, why = self._use.grant_ref, self._stopped
        over = why not in ENDS_OF_TOKENS
        told = f"{ref} has ended: {why}." if over else f"{ref} can no longer be used with this token: {why}."
        if self._relay is not None and self._relay.begun is not None:
            return await self._relay.cut(told)
        return answer_json(403, problem(status=403, code="grant_over" if over else "token_over", title=told))

    # Decision

    async def _work(self) -> web.StreamResponse:
        decision = await self._decide()
        if isinstance(decision, Allowed) and self._is_known(decision):
            return await self._repeat(decision)
        tried = await self._try(decision)
        metrics.COMMANDS.labels(tried.verdict).inc()
        if isinstance(tried.decision, Refused):
            raise await self._denied(tried.decision)
        if isinstance(decision, Refused):
            raise await self._denied(decision)
        if tried.verdict == "held":
            self._run_id = tried.run_id
            # The parsed body takes up many times its size in memory, and a hold can last long.
            self._body.content = ABSENT
            tried = await self._released(tried)
        self._run_id = tried.run_id
        self._allowance = Allowance(self._parts.shared.database, tried)
        return await self._carry_out(decision)

    def _is_known(self, decision: Allowed) -> bool:
        """Whether a request repeats a small read that is in the record. Every other request is a run."""
        number = self._session.id
        return (
            number is not None
            and self._ordinary(decision)
            and self._parts.tally.knows(number, self._use, decision)
        )

    def _ordinary(self, decision: Allowed) -> bool:
        """Whether a request is a single read without approval or budget, whose line contains its body."""
        rule = decision.command.allows
        if rule is None or decision.effect != "read" or isinstance(self._body, Passed):
            return False
        return not (rule.hold or rule.stream or rule.websocket or rule.budget or self._use.compiled.budget)

    async def _repeat(self, decision: Allowed) -> web.StreamResponse:
        """Forward a repeated small read.

        The request is counted if its response is complete and small; otherwise it becomes a run.
        """
        timer = asyncio.get_running_loop().call_later(SOON_S, self._begin_run, decision)
        try:
            return await self._carry_out(decision)
        except asyncio.CancelledError:
            if self._run_id is None and not self._counted:
                self._count(decision)
            raise
        finally:
            timer.cancel()
            if self._becoming is not None:
                self._becoming.cancel()

    def _begin_run(self, decision: Allowed) -> None:
        self._becoming = asyncio.create_task(self._soon_a_run(decision))

    async def _soon_a_run(self, decision: Allowed) -> None:
        # If recording fails here, the request is recorded again before any part of the response passes.
        with contextlib.suppress(StintError, NotMade):
            await self._record(decision, small=False)

    async def _record(self, decision: Allowed, small: bool) -> None:
        """Record a request before its response passes, unless it is a run already.

        Raises NotMade or StintError.
        """
        async with self._recording:
            if self._run_id is None and not (small and self._count(decision)):
                await self._become_run(decision)

    def _count(self, decision: Allowed) -> bool:
        number, now = self._session.id, self._parts.shared.node.clock.now()
        self._counted = number is not None and self._parts.tally.repeats(number, self._use, decision, now)
        if self._counted:
            metrics.ALLOWED.inc()
        return self._counted

    async def _become_run(self, decision: Allowed) -> None:
        tried = await self._try(decision)
        metrics.COMMANDS.labels(tried.verdict).inc()
        if isinstance(tried.decision, Refused):
            raise await self._denied(tried.decision)
        self._run_id = tried.run_id

    async def _decide(self) -> Allowed | Refused:
        asked, compiled = self._asked, self._use.compiled
        if asked.override:
            return Refused(f"the header {asked.override} would change the request", None, "syntax")
        if (added := self._parts.credentials.parameter_of(self._use.place)) in asked.query_names:
            return Refused(f"the gateway itself adds {added} to the query", None, "query")
        ways = {"stream": asked.stream, "websocket": asked.websocket}
        if not asked.framing.empty:
            planned = plan(compiled, asked.method, asked.target, asked.media.name, **ways)
            self._keep(kept_of(asked.framing, planned))
            try:
                self._body = await read_carried(asked.request, asked.framing, asked.media, planned)
            except BodyRefused as error:
                return Refused(str(error), None, "body")
            except HeadRefused as error:
                self._unread = of_the_client(error, asked.request)
                return Refused(error.reason, None, "body")
            if asked.framing.length is None:
                # Until now, the maximum that the body could need was reserved. Its size is now known.
                self._room.close()
                self._keep(kept_of(replace(asked.framing, length=self._body.size), planned))
        return await aside(
            self._weight,
            decide_request,
            compiled,
            asked.method,
            asked.target,
            self._body.content,
            headers=asked.said,
            **ways,
        )

    def _keep(self, kept: Kept) -> None:
        """Reserve the memory and disk space for the body until it is closed. Raises BodiesTooLarge."""
        for room, size in ((self._parts.shared.room, kept.memory), (self._parts.files, kept.disk)):
            self._room.enter_context(room.taken(self._use.grant_id, size))

    @property
    def _weight(self) -> int:
        """The number of bytes of the body that the decision reads."""
        return 0 if isinstance(self._body.content, Upload) else self._body.size

    def _line(self) -> str:
        return " ".join((self._asked.line, *words_of(self._body.content, {})))

    async def _try(self, decision: Allowed | Refused) -> Tried:
        """Record the attempt. Once recording has started, it finishes even if the request is cut."""
        line = decision.line if isinstance(decision, Allowed) else await aside(self._weight, self._line)
        return await attempt(
            self._parts.shared,
            self._session,
            self._use,
            line=line,
            decision=decision,
            too_late=self._too_late,
        )

    def _too_late(self, tried: Tried) -> None:
        """Report an attempt that was recorded after its caller had stopped waiting: nothing was sent."""
        self._run_id = tried.run_id
        self._finish()

    async def _denied(self, refused: Refused) -> NotMade | HeadRefused:
        if self._unread is not None:
            return self._unread
        denial = await self._parts.shared.database.run(
            denial_of,
            use=self._use,
            method=self._asked.method,
            target=self._asked.target,
            refused=refused,
            body=self._body.content,
        )
        made = NotMade(429 if refused.code == TOO_MANY_WAITING else 403, "request_refused", "")
        made.body = denial.as_problem()
        return made

    async def _released(self, tried: Tried) -> Tried:
        """Wait until another person approves the request, and use that approval. Raises NotMade."""
        try:
            return await released(self._parts.shared, self._use, tried)
        except NotReleased as error:
            self._run_id = None
            raise NotMade(403, f"hold_{error.state}", error.message) from error

    # The target

    async def _carry_out(self, decision: Allowed) -> web.StreamResponse:
        """Send the request and relay the response. Every failure ends the run, and is reported."""
        rule = decision.command.allows
        if rule is None:
            raise AssertionError
        self._relay = relay = Relay(
            self._parts.upstream,
            self._asked,
            self._use.place,
            self._body,
            rule,
            lambda small: self._record(decision, small),
            self._allowance,
        )
        longest = rule.response.time if rule.response else None
        try:
            async with asyncio.timeout(longest) as limit:
                answer = await relay.run(decision, self._parts.credentials)
        except TimeoutError:
            silent = f"the target sent nothing for {SILENT_S:.0f} seconds"
            said = f"the response took longer than {longest} seconds" if limit.expired() else silent
            broken = Broken(504, "too_slow", said)
        except Withheld as error:
            broken = Broken(error.status, "withheld", error.reason)
        except NotReached as error:
            broken = self._unreached(error)
        except (ClientError, ConnectionError) as error:
            log.info("http.broken_off", run=self._run_id, error=type(error).__name__)
            broken = Broken(
                502, "unanswered", GIVEN_UP if is_gone(self._asked.request) else "the response was cut off"
            )
        else:
            self._report = Report("done", relay.remark)
            self._learn(decision, relay)
            return answer
        return await self._say_broken(decision, relay, broken)

    def _unreached(self, error: NotReached) -> Broken:
        if self._body.fault:
            return Broken(408, "body_too_slow", self._body.fault)
        return Broken(502, "unanswered" if error.sent else "not_reached", str(error))

    def _learn(self, decision: Allowed, relay: Relay) -> None:
        if self._run_id is not None and self._session.id and relay.small and self._ordinary(decision):
            self._parts.tally.learn(self._session.id, self._use, decision)

    async def _say_broken(self, decision: Allowed, relay: Relay, broken: Broken) -> web.StreamResponse:
        await self._record(decision, small=False)
        status, code, why = broken.status, broken.code, broken.why
        self._report = Report("cut" if relay.sent else "failed", why)
        if relay.begun is not None:
            return await relay.cut("")
        return answer_json(status, problem(status=status, code=code, title=f"{why[:1].upper()}{why[1:]}."))

    # The record

    def _finish(self) -> None:
        if self._run_id is None:
            return
        if self._report is None:
            raise AssertionError
        relay, run_id, self._run_id = self._relay, self._run_id, None
        exchanged = relay.exchanged() if relay is not None and relay.sent else None
        self._parts.shared.node.registry.reports.send(
            self._session,
            finish_run,
            run_id=run_id,
            state=self._report.state,
            reason=self._report.reason,
            output_bytes=exchanged["answer_bytes"] if exchanged else 0,
            exchanged=exchanged,
            unused=self._allowance.unused if self._allowance else {},
            now=self._parts.shared.node.clock.now(),
            plain={"reason": "the result could not be recorded"},
        )


def refused_by(error: StintError) -> web.Response:
    """Return the response for an anticipated error."""
    body = problem(status=error.status, code=error.code, title=error.message, detail=error.hint)
    answer = answer_json(error.status, body, again(error))
    if again(error):
        # Too many connections are open, so this one is closed.
        answer.force_close()
    return answer
