"""Decide and record one request, forward it, and relay its response until the response ends or is cut."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import structlog
from aiohttp import ClientError, web

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.connectors.kubernetes.remote import Container
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.aside import aside
from sessions_app.gateways.core.attempts import NotReleased, attempt, released
from sessions_app.gateways.core.bodies import of_the_client
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.cuttable import Cuttable
from sessions_app.gateways.core.heads import HeadRefused
from sessions_app.gateways.core.outcomes import GIVEN_UP, Report, failed_by, is_gone
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.kubernetes.asked import Asked
from sessions_app.gateways.kubernetes.bodies import Body, largest, read_body
from sessions_app.gateways.kubernetes.deciding import Decided, compared, decided, is_unread, still_allowed
from sessions_app.gateways.kubernetes.denials import refusal_of
from sessions_app.gateways.kubernetes.execution import Execution
from sessions_app.gateways.kubernetes.forwarding import Forwarding
from sessions_app.gateways.kubernetes.outcomes import closed, report_of, unrecorded, why_broken
from sessions_app.gateways.kubernetes.parts import Parts
from sessions_app.gateways.kubernetes.standing import bound
from sessions_app.gateways.kubernetes.status import NotMade, ended
from sessions_app.gateways.kubernetes.streams import Streams
from sessions_app.gateways.kubernetes.tunnels import Tunnel
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.proofs.kubernetes import KubernetesUse
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.kubernetes.decide import DISCOVERY, Allowed

log = structlog.get_logger(__name__)

_DISCOVERY = ("get", "--raw", "/apis")


class Carrier(Protocol):
    """An allowed request in progress. ``begun`` is the response sent to the client so far, if any.

    ``sent`` means that the API server may have received the request.
    """

    begun: Any
    sent: bool

    async def run(self) -> web.StreamResponse:
        """Send the request and relay the response. Raises NotMade, NotReached, and connection errors."""

    async def cut(self, text: str) -> web.StreamResponse:
        """Drop the response so far without waiting for a client that may not read, with the reason where
        possible.
        """

    def tell(self, text: str) -> None:
        """Show a line to the holder if the protocol has a place for it."""


class Passage(Cuttable):
    """One request in a session."""

    def __init__(
        self, parts: Parts, session: OpenSession[KubernetesUse], use: KubernetesUse, asked: Asked
    ) -> None:
        super().__init__()
        self._parts, self._session, self._use, self._asked = parts, session, use, asked
        self._carrier: Carrier | None = None
        self._killing: asyncio.Task[str] | None = None
        self._run_id: int | None = None
        self._recorder: Recorder | None = None
        self._report: Report | None = None
        self._alone = False

    @property
    def _begun(self) -> bool:
        return self._carrier is not None and self._carrier.begun is not None

    def _stop_alone(self, reason: str) -> None:
        """Cut the command, while its grant continues."""
        self._alone = True
        self.stop(reason)

    def tell(self, text: str) -> None:
        """Show a line to the holder if the protocol has a place for it."""
        if self._carrier is not None:
            self._carrier.tell(text)

    async def run(self) -> web.StreamResponse:
        """Return the response.

        If it came from the API server, it has already been sent in full. Raises NotMade, HeadRefused,
        StintError.
        """
        self._task = task = asyncio.current_task()
        self._session.enter(self)
        try:
            with self._parts.shared.room.taken(self._use.grant_id, largest(self._asked)):
                return await self._work()
        except asyncio.CancelledError:
            if not self._stopped or task is None:
                self._report = Report("cut", GIVEN_UP)
                raise
            task.uncancel()
            self._report = Report("cut", self._stopped)
            if isinstance(self._carrier, Execution):
                # A client that does not read must not delay the end of the processes.
                self._killing = asyncio.create_task(self._carrier.kill())
            over = f"{self._stopped}." if self._alone else ended(self._use.grant_ref, self._stopped)
            return await self._cut(over)
        except Exception as error:
            sent = self._carrier is not None and self._carrier.sent
            self._report = self._report or failed_by(error, sent=sent)
            raise
        finally:
            self._conclude()

    async def _cut(self, text: str) -> web.StreamResponse:
        """End the response with the reason if the protocol allows that; otherwise drop the connection to
        the client.
        """
        if self._carrier is not None and self._begun:
            return await self._carrier.cut(text)
        raise NotMade(403, text)

    # Decision

    async def _work(self) -> web.StreamResponse:
        body = await self._read()
        found = await self._decided(body)
        if isinstance(found.decision, Allowed) and found.decision.poll:
            await self._count(found.decision)
            return await self._carry(
                Forwarding(self._parts.upstream, self._asked, self._use, body, agent=self._agent)
            )
        tried = await attempt(
            self._parts.shared,
            self._session,
            self._use,
            line=found.line,
            decision=found.decision,
            too_late=self._too_late,
        )
        metrics.COMMANDS.labels(tried.verdict).inc()
        if isinstance(tried.decision, Refused) or isinstance(found.decision, Refused):
            raise await self._denied(found, tried.decision)
        self._run_id = tried.run_id
        # The parsed body takes up many times its size in memory, and a hold can last long.
        allowed, body, found = found.decision, replace(body, value=None), replace(found, question=None)
        if tried.verdict == "held":
            tried = await self._released(tried)
        if tried.deadline is not None and allowed.finish_seconds:
            self._finish_by, self._finish_seconds = tried.deadline, allowed.finish_seconds
        return await self._carry(await self._carrier_of(found, allowed, tried, body))

    async def _read(self) -> Body:
        """Return the body. Record a refusal if it can't be read, unless the client will retry in another
        encoding.
        """
        try:
            return await read_body(self._asked, unread=is_unread(self._asked))
        except HeadRefused as error:
            if not self._asked.negotiates:
                refused = Refused(of_the_client(error, self._asked.request).reason, None, "body")
                await attempt(
                    self._parts.shared,
                    self._session,
                    self._use,
                    line=self._asked.line,
                    decision=refused,
                    too_late=lambda _: None,
                )
            raise

    async def _decided(self, body: Body) -> Decided:
        decide = partial(decided, self._use.compiled, self._asked, body)
        return await compared(self._parts.reader, self._use, decide, size=len(body.data), agent=self._agent)

    async def _count(self, decision: Allowed) -> None:
        """Count a request that kubectl sends alongside a command. Raises StintError, including if the token
        is no longer valid.
        """
        if decision.index == DISCOVERY and decision.argv[:2] == _DISCOVERY[:2]:
            # All paths of API discovery count as the same request.
            decision = replace(decision, argv=_DISCOVERY)
        recorded = await self._parts.shared.database.run(
            _counted, tally=self._parts.tally, session_id=self._session.id, use=self._use, decision=decision
        )
        if not recorded:
            raise NotMade(403, ended(self._use.grant_ref, "the grant can't be used anymore"))

    def _too_late(self, tried: Tried) -> None:
        """Report an attempt that was recorded after its caller had stopped waiting: nothing was sent."""
        self._run_id = tried.run_id
        self._finish()

    async def _denied(self, found: Decided, refused: Any) -> NotMade:
        text = await self._parts.shared.database.run(
            refusal_of, use=self._use, refused=refused, question=found.question
        )
        return NotMade(403, text)

    async def _released(self, tried: Tried) -> Tried:
        """Wait until another person approves the request, and use that approval. Raises NotMade."""
        try:
            return await released(self._parts.shared, self._use, tried)
        except NotReleased as error:
            if error.state != "held":
                # The record already has the end of the run.
                self._run_id = None
            self._report = Report("failed", error.message)
            raise NotMade(403, error.message) from error

    # The API server

    @property
    def _agent(self) -> str:
        """The user agent that links the cluster's audit log to the record."""
        return f"stint/{self._use.grant_ref}" + (f"/{self._run_id}" if self._run_id else "")

    async def _carrier_of(self, found: Decided, decision: Allowed, tried: Tried, body: Body) -> Carrier:
        upstream, agent = self._parts.upstream, self._agent
        if found.kind == "portforward":
            return Tunnel(
                upstream,
                self._asked,
                self._use,
                decision.ports,
                agent=agent,
                refused=self._refused_port,
            )
        if found.kind == "request":
            again = partial(self._rebound, body, found) if decision.version else None
            if again and decision.hold:
                body = await again()
            elif again:
                body = await bound(body, decision.version)
            return Forwarding(upstream, self._asked, self._use, body, agent=agent, again=again)
        if found.request is None or tried.deadline is None:
            raise AssertionError
        known = (upstream, self._asked, self._use, found.request, await self._record(found.line))
        if found.kind == "attach":
            return Streams(*known, agent=agent)
        where = Container(found.request.namespace, found.request.name, found.request.value("container"))
        watch = self._parts.watch_over(self._use, where, decision, tried)
        return Execution(*known, agent=agent, watch=watch)

    async def _rebound(self, body: Body, found: Decided) -> Body:
        """Return the body bound to the object's current version, if the decision is still the same. Raises
        NotMade.
        """
        value = await aside(len(body.data), json.loads, body.data)
        allowed = still_allowed(await self._decided(replace(body, value=value)), found)
        return await bound(body, allowed.version)

    async def _record(self, line: str) -> Recorder:
        if self._run_id is None:
            raise AssertionError
        try:
            self._recorder = await self._parts.recorder_of(
                self._use, self._run_id, line, stop=self._stop_alone
            )
        except OSError as error:
            self._report = Report("failed", unrecorded(error))
            raise NotMade(503, "The command's output can't be recorded, so nothing was run.") from error
        return self._recorder

    async def _carry(self, carrier: Carrier) -> web.StreamResponse:
        """Send the request and relay the response. Every failure ends the run, and is reported. Raises
        NotMade.
        """
        self._carrier = carrier
        try:
            made = await carrier.run()
        except NotReached as error:
            return await self._broken(503, str(error))
        except NotMade as error:
            self._report = Report("failed", error.message)
            raise
        except OSError as error:
            return await self._broken(503, self._why(why_broken(carrier, error)))
        except ClientError as error:
            log.info("kubernetes.broken_off", run=self._run_id, error=type(error).__name__)
            return await self._broken(503, self._why(f"{self._use.target.name} closed the connection"))
        self._report = report_of(carrier)
        return made

    def _why(self, broken: str) -> str:
        return GIVEN_UP if is_gone(self._asked.request) else broken

    async def _broken(self, code: int, why: str) -> web.StreamResponse:
        if self._carrier is None:
            raise AssertionError
        self._report = Report("cut" if self._carrier.sent else "failed", why)
        if self._carrier.begun is not None:
            return await self._carrier.cut("")
        raise NotMade(code, f"{why[:1].upper()}{why[1:]}.")

    def _refused_port(self, port: str) -> None:
        """Record that the client of a port-forward tried a port that its command does not list."""
        line = f"{self._asked.line} {port}"
        refused = Refused(f"port {port[:20]} is not listed in this command", None, "port")
        self._parts.begin(self._attempted(line, refused))

    async def _attempted(self, line: str, refused: Refused) -> None:
        with contextlib.suppress(StintError):
            await attempt(
                self._parts.shared,
                self._session,
                self._use,
                line=line,
                decision=refused,
                too_late=lambda _: None,
            )

    # The end

    def _conclude(self) -> None:
        """Record the end once none of the command's processes can be left in a container."""
        if isinstance(self._carrier, Execution):
            self._parts.begin(self._clean_up(self._carrier))
        else:
            self._finish()
            self._session.leave(self)

    async def _clean_up(self, execution: Execution) -> None:
        try:
            killed = await (self._killing or execution.kill())
            report = self._ended()
            self._report = replace(report, reason="; ".join(filter(None, (report.reason, killed))))
        finally:
            self._finish()
            self._session.leave(self)

    def _ended(self) -> Report:
        if self._report is None:
            raise AssertionError
        return self._report

    def _finish(self) -> None:
        if self._run_id is None:
            return
        run_id, self._run_id = self._run_id, None
        recording = closed(self._recorder, run_id)
        carrier, report = self._carrier, self._ended()
        exchanged = carrier.exchanged() if isinstance(carrier, Forwarding) and carrier.sent else None
        size = carrier.size if isinstance(carrier, Forwarding | Tunnel) else recording.output_bytes
        self._parts.shared.node.registry.reports.send(
            self._session,
            finish_run,
            run_id=run_id,
            state=report.state,
            reason=report.reason,
            exit_status=report.exit_status,
            output_bytes=size,
            recording=recording.path,
            recording_digest=recording.digest,
            recording_bytes=recording.file_bytes,
            exchanged=exchanged,
            now=self._now(),
            plain={"reason": "the result could not be recorded", "exit_status": None},
        )

    def _now(self) -> dt.datetime:
        return self._parts.shared.node.clock.now()


def _counted(*, tally: Tally, session_id: int, use: KubernetesUse, decision: Allowed) -> bool:
    return tally.add(session_id, use, decision, clock.now())
