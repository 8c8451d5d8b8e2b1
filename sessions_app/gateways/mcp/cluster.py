"""The tools of one cluster, behind its gateway: each call decided by the grant, made with Stint's own token, and recorded."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from django.conf import settings

from broker.kernel import clock
from broker.kernel.crypto import token_digest
from broker.kernel.errors import StintError
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.conversation import Conversation, SessionLost
from sessions_app.connectors.mcp.wire import Message
from sessions_app.gateways.core.proofs import ProofRefused, check_proof
from sessions_app.gateways.mcp.answers import SIGN_OF_LIFE_S, Answer
from sessions_app.gateways.mcp.asked import Asked, Rejected
from sessions_app.gateways.mcp.denials import ended_meanwhile, refusal, stopped, waiting
from sessions_app.gateways.mcp.service import Caller, challenge
from sessions_app.gateways.mcp.uses import MOST_STREAMS, OpenUse, Uses
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.bar_call import bar_call
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.proofs.token import ByToken, CallUse
from sessions_app.operations.sessions.record_refused_request import DeadToken, record_dead_token
from sessions_app.operations.sessions.try_call import Waiting, try_call
from sessions_app.operations.sessions.try_command import NOBODY_MAY_ALLOW, Tried
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.http.bodies import Json
from sessions_app.policy.commands.mcp.decide import DecidedCall, decided, line_of
from sessions_app.queries.grant_tokens import UNKNOWN, tokens_now

log = structlog.get_logger(__name__)
T = TypeVar("T")

_TOKEN = re.compile(r"(Bearer|DPoP) (sgt_[A-Za-z0-9_-]{43})", re.IGNORECASE)
# A token that is over is written down again only after so long: clients that come back each second fill no record.
_TOLD_EVERY_S = 60.0
_MOST_AT_ONCE = 16
_RELAYED = frozenset(("notifications/progress", "notifications/message"))
# Of what stands beside a call's arguments: progress of it, and traces (W3C Trace Context). All else, such as the answers to a
# question or a wish that the call goes on by itself, was decided by nobody, and could do what the arguments may not.
_META = ("progressToken", "traceparent", "tracestate")
WITHHELD = "its result is withheld"
GIVEN_UP = "canceled by its client"


class Over(Exception):
    """The grant has ended meanwhile."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What a server answered to a call."""

    message: Message
    size: int


class ClusterService:
    """The MCP server that holders of grants on one cluster see."""

    def __init__(self, cluster: str, uses: Uses, told: dict[str, float]) -> None:
        self.cluster, self._uses, self._told = cluster, uses, told

    @property
    def path(self) -> str:
        return f"/mcp/{self.cluster}"

    @property
    def instructions(self) -> str:
        return (
            "A grant allows or refuses each call. A refusal says what is allowed "
            "and how to request more. Repeat a held call unchanged until someone has allowed it."
        )

    # Who calls

    async def caller(self, headers: Mapping[str, str], client: str, method: str) -> Caller:
        found = _TOKEN.fullmatch(headers.get("authorization", ""))
        if found is None:
            raise challenge(
                settings.MCP_URL, self.path, error="invalid_token" if "authorization" in headers else ""
            )
        digest = token_digest(found[2])
        use = only(await self._uses.database.run(authorize_use, by=ByToken(digest, self.cluster)))
        if use is None:
            await self._dead(digest, client)
            raise challenge(settings.MCP_URL, self.path, error="invalid_token")
        if use.jkt or found[1].lower() == "dpop":
            await self._prove(use, headers.get("dpop", ""), found[2], method)
        return Caller(holder=f"grant token {use.credential_id}", client=client, use=use)

    async def _dead(self, digest: str, client: str) -> None:
        moment = asyncio.get_running_loop().time()
        if moment - self._told.get(digest, -_TOLD_EVERY_S) < _TOLD_EVERY_S:
            return
        while len(self._told) >= 1000:
            del self._told[next(iter(self._told))]
        self._told[digest] = moment
        line = "a message of MCP"
        if await self._uses.database.run(_dead_token, digest=digest, target=self.cluster, line=line) is None:
            # Nobody's: the record would be anybody's to fill.
            log.warning("mcp.unknown_token", cluster=self.cluster[:63], client=client)

    async def _prove(self, use: CallUse, proof: str, token: str, method: str) -> None:
        try:
            if not use.jkt:
                raise ProofRefused("this token is not bound to a key: use the Bearer scheme")
            await self._uses.database.run(
                _check_proof,
                proof=proof,
                token=token,
                jkt=use.jkt,
                method=method,
                url=settings.MCP_URL + self.path,
            )
        except ProofRefused as error:
            headers = {"www-authenticate": 'DPoP error="invalid_dpop_proof", algs="ES256 Ed25519"'}
            raise Rejected(401, None, f"{error}.".capitalize(), headers=headers) from error

    # What there is

    async def tools(self, caller: Caller) -> list[Message]:
        use: CallUse = caller.use
        async with self._in_use(caller) as held:
            there = await self._unless_over(held, self._definitions(held))
        known = (there[name] for name in sorted(use.compiled.tools & there.keys()))
        return [tool for tool in known if use.pins.get(tool["name"]) == wire.digest_of(tool)]

    async def _definitions(self, held: OpenUse) -> dict[str, Message]:
        talk = await self._begun(held)
        try:
            return await talk.tools()
        except SessionLost:
            return await (await self._begun(held, lost=talk)).tools()

    async def _begun(self, held: OpenUse, lost: Conversation | None = None) -> Conversation:
        """Return a conversation that has begun, and not the one that was lost: of all that lost it the first begins anew."""
        async with held.begun:
            if held.talk is lost:
                held.talk = Conversation(lost.endpoint)
            if not held.talk.ready:
                await held.talk.begin()
            return held.talk

    # Calls

    async def call(self, caller: Caller, asked: Asked, answer: Answer, gone: asyncio.Task[None]) -> None:
        use: CallUse = caller.use
        name, arguments = asked.params.get("name"), asked.params.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            await answer.error(wire.INVALID_PARAMS, "A call needs a name and an object of arguments.")
        elif use.held:
            await self._write_down_unmade(use, name, arguments)
            why = "it is held after too many refused commands; an approver can release it"
            await answer.result(stopped(use.grant_ref, f"{why}.", "grant_held"))
        else:
            try:
                async with self._in_use(caller) as held:
                    work = _Call(self, use, held, asked, answer, name, arguments)
                    await self._carry_out(held, asked, answer, gone, work)
            except Over as error:
                await answer.result(ended_meanwhile(use.grant_ref, str(error), ". It was not made."))
            except GrantIsOver as error:
                # It ended between the question whether it may be used and the use.
                await self._write_down_unmade(use, name, arguments)
                await answer.result(stopped(use.grant_ref, f"{error}", error.code))
            except StintError as error:
                await answer.result(stopped(use.grant_ref, f"{error}", error.code))

    async def _write_down_unmade(self, use: CallUse, name: str, arguments: dict[str, Json]) -> None:
        """Write down a call that its grant or token is not good for, or not any more."""
        line = line_of(name, arguments)
        await self._uses.database.run(
            _dead_token, digest=use.credential_digest, target=use.target.name, line=line
        )

    async def _carry_out(
        self, held: OpenUse, asked: Asked, answer: Answer, gone: asyncio.Task[None], work: _Call
    ) -> None:
        """Let a call run until it is answered, its client is gone, or its grant is over."""
        task: asyncio.Task[object] = asyncio.create_task(work.run())
        over: asyncio.Task[object] = asyncio.create_task(held.over.wait())
        if asked.id is not None:
            held.running[asked.id] = task
        try:
            while not task.done() and not over.done() and not gone.done():
                await asyncio.wait(
                    {task, over, gone}, timeout=SIGN_OF_LIFE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if not task.done() and not over.done() and not gone.done():
                    await answer.sign_of_life()
        finally:
            over.cancel()
            if asked.id is not None and held.running.get(asked.id) is task:
                del held.running[asked.id]
            task.cancel()
            await asyncio.wait({task})
        await work.conclude(task)

    async def forward(
        self, held: OpenUse, asked: Asked, answer: Answer, tool: Message, arguments: Mapping[str, Any]
    ) -> Message:
        """Make an allowed call, pass on what is said meanwhile, and return the answer. Raises ConnectorError."""
        talk = await self._begun(held)
        try:
            return await self._forward(talk, held, asked, answer, tool, arguments)
        except SessionLost:
            # The server knew nothing of the conversation, so that nothing was made of it.
            talk = await self._begun(held, lost=talk)
            return await self._forward(talk, held, asked, answer, tool, arguments)

    async def _forward(
        self,
        talk: Conversation,
        held: OpenUse,
        asked: Asked,
        answer: Answer,
        tool: Message,
        arguments: Mapping[str, Any],
    ) -> Message:
        params = {"name": tool["name"], "arguments": dict(arguments), **_about_the_call(asked.params)}
        headers = wire.parameter_headers(tool.get("inputSchema"), arguments) if talk.modern else {}
        mine = asked.params.get("_meta", {}).get("progressToken")
        async for message in talk.call("tools/call", params, headers):
            if "method" not in message:
                return message
            if held.over.is_set():
                raise Over(held.why)
            if "id" in message:
                # Sampling, elicitation, roots: nothing is asked of the client through this door.
                await _decline(talk, message)
            elif message["method"] in _RELAYED and _is_mine(message, mine):
                await answer.note(message)
        raise ConnectorError("The server closed the stream before it answered.")

    def cancel(self, caller: Caller, number: Any) -> None:
        held = self._uses.of_token(caller.use.credential_id)
        task = held.running.get(number) if held is not None and isinstance(number, str | int) else None
        if task is not None:
            task.cancel()

    # Streams

    async def stream(self, caller: Caller, answer: Answer, gone: asyncio.Task[None]) -> None:
        held = await self._uses.enter(caller.use, caller.client)
        if held.streams >= MOST_STREAMS:
            raise Rejected(429, None, f"At most {MOST_STREAMS} streams per token are allowed.")
        held.streams += 1
        over = asyncio.create_task(held.over.wait())
        try:
            with held.at_work():
                await answer.start_stream()
                while not over.done() and not gone.done():
                    await asyncio.wait(
                        {over, gone}, timeout=SIGN_OF_LIFE_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    if not over.done() and not gone.done():
                        await answer.sign_of_life()
        finally:
            held.streams -= 1
            over.cancel()

    # Helpers

    @contextlib.asynccontextmanager
    async def _in_use(self, caller: Caller) -> AsyncIterator[OpenUse]:
        held = await self._uses.enter(caller.use, caller.client)
        if held.busy - held.streams >= _MOST_AT_ONCE:
            raise _TooManyAtOnce("Too many concurrent calls.", hint=f"At most {_MOST_AT_ONCE} are allowed.")
        with held.at_work():
            yield held

    async def _unless_over(self, held: OpenUse, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something; raises Over when the grant ends before."""
        task, over = asyncio.create_task(work), asyncio.create_task(held.over.wait())
        try:
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                raise Over(held.why)
            return task.result()
        finally:
            over.cancel()
            task.cancel()
            await asyncio.wait({task})

    @property
    def database(self) -> Any:
        """Where operations run."""
        return self._uses.database

    async def definition(self, held: OpenUse, name: str) -> Message | None:
        """Return a tool as its server describes it now. Raises ConnectorError."""
        return (await self._definitions(held)).get(name)


class _TooManyAtOnce(StintError):
    """One token is used for more calls than are carried out at once."""

    code = "too_many_at_once"
    status = 429


class _Call:
    """One call, from the decision to its result."""

    def __init__(
        self,
        service: ClusterService,
        use: CallUse,
        held: OpenUse,
        asked: Asked,
        answer: Answer,
        name: str,
        arguments: dict[str, Json],
    ) -> None:
        self._service, self._use, self._held = service, use, held
        self._asked, self._answer = asked, answer
        self._name, self._arguments = name, arguments
        self._call = decided(use.compiled, name, arguments)
        self._run: int | None = None
        self._trying: asyncio.Future[Tried | Waiting] | None = None

    async def run(self) -> Message:
        """Return the message to answer with. Raises StintError, and Over where the result may not be given out."""
        tool: Message | None = None
        if isinstance(self._call.decision, Allowed):
            tool, barred = await self._as_approved()
            if barred:
                return _result(await self._bar(barred))
        tried = await self._try()
        if isinstance(tried, Waiting):
            return _result(waiting(self._use, tried))
        if tried.verdict == "held":
            nobody = tried.message == NOBODY_MAY_ALLOW
            told = stopped(self._use.grant_ref, tried.message, "held", run=tried.run_id)
            return _result(told if nobody else waiting(self._use, tried.run_id))
        if isinstance(tried.decision, Refused) or tool is None:
            refused = (
                tried.decision
                if isinstance(tried.decision, Refused)
                else Refused(tried.message, None, "tool")
            )
            return _result(
                await self._service.database.run(
                    refusal, use=self._use, refused=refused, line=self._call.line
                )
            )
        return await self._make(tried, tool)

    async def _try(self) -> Tried | Waiting:
        """Write the call down. What is on its way to the record gets there, whoever gives the call up."""
        self._trying = asyncio.ensure_future(
            self._service.database.run(_try, use=self._use, session_id=self._held.session_id, call=self._call)
        )
        return await asyncio.shield(self._trying)

    async def _as_approved(self) -> tuple[Message | None, str]:
        """Return the tool as it is now, and why it may not be called: it is not the one that was approved."""
        try:
            tool = await self._service.definition(self._held, self._name)
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
        run = await self._service.database.run(
            _bar, use=self._use, session_id=self._held.session_id, line=self._call.line, reason=why
        )
        return stopped(self._use.grant_ref, why, "not_made", run=run)

    async def _make(self, tried: Tried, tool: Message) -> Message:
        self._run = tried.run_id
        try:
            message = await self._service.forward(
                self._held, self._asked, self._answer, tool, self._arguments
            )
        except ConnectorError as error:
            await self._finish("failed", error.message, 0)
            return _result(stopped(self._use.grant_ref, error.message, "not_made", run=tried.run_id))
        state, why = _outcome(message)
        ended = await self._finish(state, why, len(wire.dump(message)))
        if ended:
            raise Over(ended)
        if message.get("result", {}).get("resultType", "complete") != "complete":
            text = (
                f"{self._use.target.name} sent a request to the client, which this gateway does not forward."
            )
            return _result(stopped(self._use.grant_ref, text, "not_made", run=tried.run_id))
        return message

    async def _finish(self, state: str, why: str, size: int) -> str:
        """Write down how the call ended; return why its result may not be given out any more, empty when it may."""
        ended: str = await self._service.database.run(
            _finish,
            run_id=self._run,
            state=state,
            reason=why,
            size=size,
            credential_id=self._use.credential_id,
        )
        return self._held.why if self._held.over.is_set() else ended

    async def conclude(self, task: asyncio.Task[object]) -> None:
        """Answer with what came of the call."""
        ref = self._use.grant_ref
        error = None if task.cancelled() else task.exception()
        if task.cancelled() and self._run is None:
            await self._write_down_unmade()
        if self._held.over.is_set() or isinstance(error, Over):
            why = self._held.why or str(error)
            await self._answer.result(ended_meanwhile(ref, why, f"; {WITHHELD}.", run=self._run))
        elif task.cancelled():
            # Nobody waits for it: the client is gone, or does not want it any more.
            if self._run is not None:
                await self._finish("cut", GIVEN_UP, 0)
            await self._answer.close()
        elif isinstance(error, StintError):
            await self._answer.result(stopped(ref, str(error), error.code, run=self._run))
        elif error is not None:
            if self._run is not None:
                await self._finish("failed", "the gateway failed", 0)
            raise error
        else:
            await self._reply(task.result())

    async def _write_down_unmade(self) -> None:
        """Write down an attempt that was given up, or whose grant ended, before it was made."""
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
        if "error" in message:
            error = message["error"]
            known = isinstance(error, dict) and type(error.get("code")) is int
            code, text = (
                (error["code"], str(error.get("message", "")))
                if known
                else (wire.INTERNAL_ERROR, "It failed.")
            )
            await self._answer.error(code, text[:2000], data=error.get("data") if known else None)
        else:
            await self._answer.result(message["result"])


async def _decline(talk: Conversation, message: Message) -> None:
    try:
        await talk.decline(message)
    except SessionLost as error:
        # The call is under way: it is not made a second time.
        raise ConnectorError(error.message) from error


def _result(result: Message) -> Message:
    return {"result": result}


def _about_the_call(params: Mapping[str, Any]) -> Message:
    """What goes along with a call and changes nothing of what it does."""
    kept = {key: params["_meta"][key] for key in _META if key in params.get("_meta", {})}
    return {"_meta": kept} if kept else {}


def _outcome(message: Message) -> tuple[str, str]:
    """How a run ended, by what its server answered."""
    error, result = message.get("error"), message.get("result")
    if error is not None:
        return "failed", str(error.get("message", ""))[:500] if isinstance(error, dict) else "an error"
    if not isinstance(result, dict):
        message["result"] = {"content": [], "isError": True}
        return "failed", "the answer is not a result"
    return ("failed", "the tool reported an error") if result.get("isError") is True else ("done", "")


def _is_mine(message: Message, token: Any) -> bool:
    """Whether a notification is about this very call."""
    if message["method"] != "notifications/progress":
        return True
    params = message.get("params")
    return token is not None and isinstance(params, dict) and params.get("progressToken") == token


# Operations, with the time that it is


def _try(*, use: CallUse, session_id: int, call: DecidedCall) -> Tried | Waiting:
    return try_call(use=use, session_id=session_id, call=call, now=clock.now())


def _bar(*, use: CallUse, session_id: int, line: str, reason: str) -> int:
    return bar_call(use=use, session_id=session_id, line=line, reason=reason, now=clock.now())


def _finish(*, run_id: int, state: str, reason: str, size: int, credential_id: int) -> str:
    now = clock.now()
    finish_run(run_id=run_id, state=state, reason=reason, output_bytes=size, now=now)
    token = tokens_now([credential_id], now).get(credential_id)
    return UNKNOWN if token is None else "" if token.live else token.why


def _dead_token(*, digest: str, target: str, line: str) -> DeadToken | None:
    return record_dead_token(token_digest=digest, target_name=target, line=line, now=clock.now())


def _check_proof(*, proof: str, token: str, jkt: str, method: str, url: str) -> None:
    check_proof(proof=proof, token=token, jkt=jkt, method=method, url=url, now=clock.now())
