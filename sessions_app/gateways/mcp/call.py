"""One call of a tool or prompt, or the reading of a resource, from the decision to its result."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.wire import Message
from sessions_app.gateways.core.allowance import BEYOND, Allowance
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.mcp.answers import Answer
from sessions_app.gateways.mcp.asked import Asked, Wanted, check_parameters
from sessions_app.gateways.mcp.denials import (
    brings_person,
    denied,
    ended_meanwhile,
    refusal,
    stopped,
    waiting,
)
from sessions_app.gateways.mcp.server import Over, Unanswered, definitions, forward
from sessions_app.gateways.mcp.uses import OpenUse
from sessions_app.operations.sessions.bar_call import bar_call
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.keep_results import keep_results
from sessions_app.operations.sessions.proofs.token import CallUse
from sessions_app.operations.sessions.try_call import Waiting, try_call
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.budgets import BUDGET_USED
from sessions_app.policy.commands.mcp.decide import DecidedCall, decided
from sessions_app.queries.grants.tokens import UNKNOWN, tokens_now

WITHHELD = "the result is withheld"
GIVEN_UP = "canceled by the client"


class Call:
    """One call, from the decision to its result."""

    def __init__(
        self,
        database: Database,
        use: CallUse,
        held: OpenUse,
        asked: Asked,
        answer: Answer,
        wanted: Wanted,
    ) -> None:
        self._database, self._use, self._held = database, use, held
        self._asked, self._answer = asked, answer
        self._wanted, self._name = wanted, wanted.name
        self._call = decided(use.compiled, wanted.name, wanted.arguments)
        self._run: int | None = None
        self._allowance: Allowance | None = None
        self._trying: asyncio.Future[Tried | Waiting] | None = None

    async def run(self) -> Message:
        """Return the response message. Raises StintError, and Over if the result must be withheld."""
        tool: Message | None = None
        if isinstance(self._call.decision, Allowed) and self._wanted.is_tool:
            tool, barred = await self._as_approved()
            if barred:
                return self._denied(await self._bar(barred))
            check_parameters(self._asked, (tool or {}).get("inputSchema"))
        tried = await self._try()
        if isinstance(tried, Waiting) or tried.verdict == "held":
            return self._held_back(tried)
        if isinstance(tried.decision, Refused) or tried.verdict != "allowed":
            refused = (
                tried.decision
                if isinstance(tried.decision, Refused)
                else Refused(tried.message, None, "tool")
            )
            return self._denied(
                await self._database.run(refusal, use=self._use, refused=refused, line=self._call.line)
            )
        return await self._make(tried, (tool or {}).get("inputSchema"))

    def _held_back(self, tried: Tried | Waiting) -> Message:
        """Return the response to a call that waits for approval, or that was denied."""
        if isinstance(tried, Tried) and not tried.approvable:
            return self._denied(stopped(self._use.grant_ref, tried.message, "held", run=tried.run_id))
        denied_by = tried.by if isinstance(tried, Waiting) else ""
        if self._asked.opens_urls and not denied_by:
            return {"result": brings_person(self._use, tried.run_id)}
        return self._denied(waiting(self._use, tried if isinstance(tried, Waiting) else tried.run_id))

    def _denied(self, result: Message) -> Message:
        return denied(self._asked, result)

    async def _try(self) -> Tried | Waiting:
        """Record the call. Once the recording has started, it finishes even if the call is canceled."""
        self._trying = asyncio.ensure_future(
            self._database.run(_try, use=self._use, session_id=self._held.session_id, call=self._call)
        )
        return await asyncio.shield(self._trying)

    async def _as_approved(self) -> tuple[Message | None, str]:
        """Return the tool's current definition, or None and why it must not be called, such as a change since
        approval.
        """
        try:
            tool = (await definitions(self._held)).get(self._name)
        except ConnectorError as error:
            return None, error.message
        if tool is None:
            return None, f"{self._use.target.name} no longer has the tool {self._name}."
        pin = self._use.pins.get(self._name)
        if pin is None:
            return None, f"The tool {self._name} did not exist when the grant started. Request new access."
        if pin != wire.digest_of(tool):
            return (
                None,
                f"The definition of the tool {self._name} changed after the approval. Request new access.",
            )
        return tool, ""

    async def _bar(self, why: str) -> Message:
        run = await self._database.run(
            _bar, use=self._use, session_id=self._held.session_id, line=self._call.line, reason=why
        )
        return stopped(self._use.grant_ref, why, "not_made", run=run)

    async def _make(self, tried: Tried, schema: Any) -> Message:
        self._run = tried.run_id
        self._allowance = allowance = Allowance(self._database, tried)
        try:
            message = await forward(self._held, self._asked, self._answer, self._wanted, schema, allowance)
        except ConnectorError as error:
            sent = isinstance(error, Unanswered)
            await self._finish("cut" if sent else "failed", error.message, 0)
            code = "unanswered" if sent else "not_made"
            return self._denied(stopped(self._use.grant_ref, error.message, code, run=tried.run_id))
        state, why = _outcome(message)
        size = len(wire.dump(message))
        if not await allowance.take(size=size, exact=True):
            message, size, why = self._denied(self._beyond(tried)), 0, f"{BEYOND}; {WITHHELD}"
        result = message.get("result")
        if isinstance(result, dict) and not self._wanted.is_tool:
            # Another holder may not get it from a cache.
            result |= {"ttlMs": 0, "cacheScope": "private"}
        if size and isinstance(result, dict) and self._name in self._use.compiled.fields:
            # Before the client gets the result: the next call may use what it returned.
            await self._database.run(
                _keep, use=self._use, run_id=tried.run_id, tool=self._name, result=result
            )
        ended = await self._finish(state, why, size)
        if ended:
            raise Over(ended)
        return message

    def _beyond(self, tried: Tried) -> Message:
        why = f"{BEYOND}. The call was made, but {WITHHELD}."
        return stopped(self._use.grant_ref, why, BUDGET_USED, run=tried.run_id)

    async def _finish(self, state: str, why: str, size: int) -> str:
        """Record how the call ended.

        Return why its result must be withheld; empty if the client may get it.
        """
        ended: str = await self._database.run(
            _finish,
            run_id=self._run,
            state=state,
            reason=why,
            size=size,
            unused=self._allowance.unused if self._allowance else {},
            credential_id=self._use.credential_id,
        )
        return self._held.why if self._held.over.is_set() else ended

    async def conclude(self, task: asyncio.Task[object]) -> None:
        """Respond with the outcome of the call."""
        ref = self._use.grant_ref
        error = None if task.cancelled() else task.exception()
        if task.cancelled() and self._run is None:
            await self._write_down_unmade()
        if self._held.over.is_set() or isinstance(error, Over):
            why = self._held.why or str(error)
            await self._say(ended_meanwhile(ref, why, f"; {WITHHELD}.", run=self._run))
        elif task.cancelled():
            # No one is waiting: the client has disconnected, or canceled the call.
            if self._run is not None:
                await self._finish("cut", GIVEN_UP, 0)
            await self._answer.close()
        elif isinstance(error, StintError):
            await self._say(stopped(ref, str(error), error.code, run=self._run))
        elif error is not None:
            if self._run is not None:
                await self._finish("cut", "the gateway failed", 0)
            raise error
        else:
            await self._reply(task.result())

    async def _say(self, result: Message) -> None:
        await self._answer.response(self._denied(result))

    async def _write_down_unmade(self) -> None:
        """Record an attempt that was canceled, or whose grant ended, before the call was made."""
        if self._trying is None:
            why = f"the grant ended: {self._held.why}" if self._held.over.is_set() else GIVEN_UP
            with contextlib.suppress(StintError):
                await self._bar(f"{why}, before it was decided; nothing was sent")
            return
        with contextlib.suppress(StintError):
            tried = await self._trying
            if isinstance(tried, Tried) and tried.verdict == "allowed":
                self._run = tried.run_id

    async def _reply(self, message: Any) -> None:
        if "error" not in message:
            return await self._answer.result(message["result"])
        code, text, data = _error_in(message["error"])
        status = 400 if code == wire.MISSING_CAPABILITY and self._asked.modern else 200
        return await self._answer.error(code, text, status=status, data=data)


def _error_in(error: Any) -> tuple[int, str, Any]:
    """Return code, message and data of a server's error for the client."""
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        return wire.INTERNAL_ERROR, "The call failed.", None
    if error["code"] in (wire.HEADER_MISMATCH, wire.UNSUPPORTED_VERSION):
        # The error is about the gateway's request. If the client got it, it would change its own request and
        # call again.
        return wire.INTERNAL_ERROR, "The server rejected the gateway's request.", None
    return error["code"], str(error.get("message", ""))[:2000], error.get("data")


def _outcome(message: Message) -> tuple[str, str]:
    """Return how a run ended and why, by the server's response.

    A call with any response, even an error, was sent.
    """
    error, result = message.get("error"), message.get("result")
    if error is not None:
        return "done", str(error.get("message", ""))[:500] if isinstance(error, dict) else "an error"
    if not isinstance(result, dict):
        message["result"] = {"content": [], "isError": True}
        return "done", "the response has no result"
    return "done", "the tool reported an error" if result.get("isError") is True else ""


# Operations, with the current time


def _try(*, use: CallUse, session_id: int, call: DecidedCall) -> Tried | Waiting:
    return try_call(use=use, session_id=session_id, call=call, now=clock.now())


def _bar(*, use: CallUse, session_id: int, line: str, reason: str) -> int:
    return bar_call(use=use, session_id=session_id, line=line, reason=reason, now=clock.now())


def _keep(*, use: CallUse, run_id: int, tool: str, result: Message) -> None:
    keep_results(use=use, run_id=run_id, tool=tool, result=result, now=clock.now())


def _finish(
    *, run_id: int, state: str, reason: str, size: int, unused: dict[str, int], credential_id: int
) -> str:
    now = clock.now()
    finish_run(run_id=run_id, state=state, reason=reason, output_bytes=size, unused=unused, now=now)
    token = tokens_now([credential_id], now).get(credential_id)
    return UNKNOWN if token is None else "" if token.live else token.why
