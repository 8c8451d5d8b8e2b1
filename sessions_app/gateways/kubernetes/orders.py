"""Commands that holders start on a grant's page: decided, recorded and held like those from kubectl."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import structlog
from aiohttp import ClientError

from broker.kernel.errors import StintError
from sessions_app.connectors.kubernetes.remote import Container
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.attempts import NotReleased, released
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.cuttable import Cuttable
from sessions_app.gateways.core.first import try_first
from sessions_app.gateways.core.orders import PROOF
from sessions_app.gateways.core.outcomes import Report
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.core.registry import Ended, OpenSession
from sessions_app.gateways.kubernetes.bodies import Body
from sessions_app.gateways.kubernetes.deciding import (
    Decided,
    DecidedOrder,
    compared,
    decided_order,
    still_allowed,
)
from sessions_app.gateways.kubernetes.ordered import OneRequest, Program
from sessions_app.gateways.kubernetes.outcomes import closed, unrecorded
from sessions_app.gateways.kubernetes.parts import Parts
from sessions_app.gateways.kubernetes.standing import bound
from sessions_app.gateways.kubernetes.status import NotMade
from sessions_app.operations.sessions.authorize_use import used_from
from sessions_app.operations.sessions.claim_order import Claimed
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.proofs.kubernetes import HolderUse
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.decide import Allowed, decide
from sessions_app.policy.commands.kubernetes.sending import Sending, sending_of
from sessions_app.policy.commands.kubernetes.undoing import Undoes

log = structlog.get_logger(__name__)

STOPPED = "the gateway stopped the command"


async def run_ordered(parts: Parts, claimed: Claimed) -> None:
    """Try the line of an order and run it if allowed. Raises StintError if nothing could be recorded."""
    if not isinstance(claimed.use, HolderUse):
        raise AssertionError  # noqa: TRY004  # an endpoint gets only orders of its own protocol
    await Ordered(parts, claimed, claimed.use).run()


class Carrier(Protocol):
    """An allowed program or request in progress. ``size`` is the size of the response in bytes; None if the
    recording has the output.
    """

    sent: bool
    size: int | None

    async def run(self) -> Report:
        """Send the request or run the program, and return how it ended. Raises NotMade, NotReached, and
        connection errors.
        """

    async def kill(self) -> str:
        """Terminate the processes that the program left, and return a note for the record; empty if there is
        none.
        """

    def exchanged(self) -> dict[str, Any] | None:
        """Return the data sent in each direction, for the record."""


class Ordered(Cuttable):
    """One order, as the only user of its session. It has no input, and its output goes only to the
    recording.
    """

    def __init__(self, parts: Parts, claimed: Claimed, use: HolderUse) -> None:
        """Raises Ended if the grant has ended."""
        super().__init__()
        self._parts, self._claimed = parts, claimed
        self._use = use = used_from(use, claimed.client_address)
        self._session = OpenSession(
            parts.shared.node.registry, use, client_address=claimed.client_address, proof=PROOF
        )
        self._run_id: int | None = None
        self._recorder: Recorder | None = None
        self._carrier: Carrier | None = None
        self._report = Report("cut", STOPPED)

    # The ``User`` interface of its session.

    @property
    def _begun(self) -> bool:
        return self._carrier is not None and self._carrier.sent

    def tell(self, text: str) -> None:
        """Do nothing: the page has its own countdown."""

    async def run(self) -> None:
        """Try the line and run it if allowed. Raises StintError if nothing could be recorded."""
        self._task = task = asyncio.current_task()
        try:
            self._session.enter(self)
            await self._work()
        except asyncio.CancelledError:
            self._report = Report("cut", self._stopped or STOPPED)
            if not self._stopped or task is None:
                raise
            task.uncancel()
        finally:
            # The caller that stops the order must not wait until processes in a container have terminated.
            self._parts.begin(self._conclude())

    async def _conclude(self) -> None:
        try:
            if self._carrier is not None:
                said = filter(None, (self._report.reason, await self._carrier.kill()))
                self._report = replace(self._report, reason="; ".join(said))
        finally:
            self._finish()
            self._session.leave(self)
            self._session.close("done")

    # Decision

    async def _work(self) -> None:
        now = self._parts.shared.node.clock.now
        decision, sending = _decided(self._use, self._claimed.line, now())
        line, fault = self._claimed.line, ""
        if isinstance(decision, Allowed) and sending is not None and isinstance(sending.check, Undoes):
            decision, fault = await self._foreseen(sending, decision)
            line = line if fault else decision.line
        tried = await try_first(
            self._parts.shared.database,
            self._session,
            gateway_id=self._parts.shared.node.id,
            line=line,
            order_id=self._claimed.order_id,
            decision=decision,
            now=now(),
            too_late=self._too_late,
        )
        metrics.COMMANDS.labels(tried.verdict).inc()
        if isinstance(tried.decision, Refused) or isinstance(decision, Refused) or sending is None:
            return
        self._run_id = tried.run_id
        if fault:
            self._report = Report("failed", fault)
            return
        if tried.verdict == "held":
            try:
                tried = await released(self._parts.shared, self._use, tried)
            except NotReleased as error:
                if error.state != "held":
                    # The record already has the end of the run.
                    self._run_id = None
                self._report = Report("failed", error.message)
                return
        if decision.finish_seconds:
            self._finish_by, self._finish_seconds = tried.deadline, decision.finish_seconds
        self._report = await self._carried_out(sending, decision, tried)

    async def _foreseen(self, sending: Sending, decision: Allowed) -> tuple[Allowed, str]:
        """Return the decision on the object that a rollback restores.

        The line does not show that object, but approvers must see it.

        If the object can't be read, return the decision on the line, without a hold, and the reason why
        nothing is sent.
        """
        try:
            _, compare = await self._comparing(sending, f"stint/{self._use.grant_ref}")
            return _same_command(await compare(), decision), ""
        except NotMade as error:
            return replace(decision, hold=False), error.message
        except asyncio.CancelledError:
            if self._stopped:
                raise Ended(self._stopped) from None
            raise

    def _too_late(self, tried: Tried) -> None:
        """Report an attempt that was recorded after its caller had stopped waiting: nothing was sent."""
        if not isinstance(tried.decision, Refused):
            self._run_id = tried.run_id
            self._finish()

    # The API server

    async def _carried_out(self, sending: Sending, decision: Allowed, tried: Tried) -> Report:
        """Send the request and return how it ended. Every failure ends the run, and is reported."""
        try:
            self._recorder = await self._record(tried.run_id, decision.line)
            self._carrier = await self._carrier_of(sending, decision, tried, self._recorder)
            return await self._carrier.run()
        except NotMade as error:
            # The output can't be recorded, or the bound object has changed, so nothing was sent.
            return Report("failed", error.message)
        except (StintError, NotReached) as error:
            why = error.message if isinstance(error, StintError) else str(error)
        except (OSError, ClientError) as error:
            log.info("order.broken_off", run=tried.run_id, error=type(error).__name__)
            why = f"the connection was lost ({type(error).__name__})"
        except Exception as error:  # every failure ends the run, which must be reported
            log.exception("order.failed", run=tried.run_id, error=type(error).__name__)
            why = "internal error; see the gateway's log"
        return Report("cut" if self._begun else "failed", why)

    async def _record(self, run_id: int, line: str) -> Recorder:
        try:
            return await self._parts.recorder_of(self._use, run_id, line, stop=self.stop)
        except OSError as error:
            raise NotMade(503, unrecorded(error)) from error

    async def _carrier_of(
        self, sending: Sending, decision: Allowed, tried: Tried, recorder: Recorder
    ) -> Carrier:
        upstream, use, agent = self._parts.upstream, self._use, f"stint/{self._use.grant_ref}/{tried.run_id}"
        version, compare = await self._comparing(sending, agent)
        found = await compare()
        now = _same_command(found, decision)
        if isinstance(sending.check, Undoes):
            still_allowed(found, Decided(decision, decision.line))
        if not decision.program:
            body, again = found.body, None
            if now.version:
                body = await bound(body, now.version)
                again = partial(_rebound, compare, found)
            return OneRequest(
                upstream,
                use,
                sending,
                version,
                body,
                recorder,
                agent=agent,
                again=again,
                room=self._parts.shared.room,
            )
        request = found.request or sending.request(version)
        where = Container(request.namespace, request.name, request.value("container"))
        watch = self._parts.watch_over(use, where, decision, tried)
        return Program(upstream, use, where, recorder, argv=decision.program, watch=watch, agent=agent)

    async def _comparing(
        self, sending: Sending, agent: str
    ) -> tuple[str, Callable[[], Awaitable[DecidedOrder]]]:
        """Return the API version of the request, and a function that decides the request by the cluster's
        objects. Raises NotMade.
        """
        version = await self._parts.reader.version_of(self._use, sending.group, agent=agent)
        return version, partial(self._compared, sending, version, agent)

    async def _compared(self, sending: Sending, version: str, agent: str) -> DecidedOrder:
        decide = partial(decided_order, self._use.compiled, sending, version)
        return await compared(self._parts.reader, self._use, decide, size=0, agent=agent)

    # The end

    def _finish(self) -> None:
        if self._run_id is None:
            return
        run_id, self._run_id = self._run_id, None
        recording = closed(self._recorder, run_id)
        carrier = self._carrier
        size = carrier.size if carrier is not None and carrier.size is not None else recording.output_bytes
        self._parts.shared.node.registry.reports.send(
            self._session,
            finish_run,
            run_id=run_id,
            state=self._report.state,
            reason=self._report.reason,
            exit_status=self._report.exit_status,
            output_bytes=size,
            recording=recording.path,
            recording_digest=recording.digest,
            recording_bytes=recording.file_bytes,
            exchanged=carrier.exchanged() if carrier is not None else None,
            now=self._parts.shared.node.clock.now(),
            plain={"reason": "the result could not be recorded", "exit_status": None},
        )


def _same_command(found: DecidedOrder, decision: Allowed) -> Allowed:
    """Return the decision on an object in its current state, if the same command allows the request. Raises
    NotMade.
    """
    if isinstance(found.decision, Refused):
        raise NotMade(403, found.decision.reason)
    if found.decision.index != decision.index:
        raise NotMade(
            409, "another command of the grant allows this in the object's current state: run that command"
        )
    return found.decision


async def _rebound(compare: Callable[[], Awaitable[DecidedOrder]], before: DecidedOrder) -> Body:
    """Return the body for the object in its current state, if the decision is still the same.
    Raises NotMade.
    """
    now = await compare()
    return await bound(now.body, still_allowed(now, before).version)


def _decided(use: HolderUse, line: str, now: dt.datetime) -> tuple[Allowed | Refused, Sending | None]:
    """Return the decision on a line, and the request that it sends if it is allowed."""
    decision = decide(use.compiled, line)
    if isinstance(decision, Refused):
        return decision, None
    try:
        return decision, sending_of(line, now)
    except RuleRefused as error:
        return Refused(error.reason, None, "syntax"), None
