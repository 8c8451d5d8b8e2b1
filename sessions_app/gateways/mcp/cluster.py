"""The tools, prompts and resources of one cluster behind its gateway.

Each call is decided by the grant, recorded, and made with Stint's own token.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

import structlog
from django.conf import settings

from broker.kernel import clock
from broker.kernel.crypto import token_digest
from broker.kernel.errors import StintError
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.wire import Message
from sessions_app.gateways.core.proofs import ProofRefused, check_proof
from sessions_app.gateways.mcp.answers import SIGN_OF_LIFE_S, Answer
from sessions_app.gateways.mcp.asked import Asked, Rejected, Wanted, call_in, line_in
from sessions_app.gateways.mcp.call import Call
from sessions_app.gateways.mcp.denials import denied, ended_meanwhile, stopped
from sessions_app.gateways.mcp.lists import capabilities, completion, offers, shown
from sessions_app.gateways.mcp.server import Over, definitions
from sessions_app.gateways.mcp.service import Caller, challenge
from sessions_app.gateways.mcp.uses import MOST_STREAMS, OpenUse, Uses
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import authorize_use, only, used_from
from sessions_app.operations.sessions.proofs.token import ByToken, CallUse
from sessions_app.operations.sessions.record_failed_proof import record_failed_proof
from sessions_app.operations.sessions.record_refused_request import DeadToken, record_dead_token
from sessions_app.policy.commands.mcp.decide import line_of

log = structlog.get_logger(__name__)
T = TypeVar("T")

_TOKEN = re.compile(r"(Bearer|DPoP) (sgt_[A-Za-z0-9_-]{43})", re.IGNORECASE)
_MOST_AT_ONCE = 16
_INVALID = "A call must have a name, and arguments as an object. A resource must have a URI."


class ClusterService:
    """The MCP server for holders of grants on one cluster."""

    def __init__(self, cluster: str, uses: Uses) -> None:
        self.cluster, self._uses = cluster, uses

    @property
    def path(self) -> str:
        return f"/mcp/{self.cluster}"

    @property
    def instructions(self) -> str:
        return (
            "A grant allows, refuses or holds each call. A refusal states what is allowed and how to "
            "request more. A held call waits for someone to allow it: repeat it unchanged until then."
        )

    # Callers

    async def caller(self, headers: Mapping[str, str], client: str, method: str, body: bytes) -> Caller:
        found = _TOKEN.fullmatch(headers.get("authorization", ""))
        if found is None:
            raise challenge(
                settings.MCP_URL, self.path, error="invalid_token" if "authorization" in headers else ""
            )
        digest = token_digest(found[2])
        use = await self._uses.admissions.ask(
            digest, client, _use, digest=digest, cluster=self.cluster, client=client, body=body
        )
        if use is None:
            raise challenge(settings.MCP_URL, self.path, error="invalid_token")
        if use.jkt or found[1].lower() == "dpop":
            await self._prove(use, headers.get("dpop", ""), found[2], method, body)
        return Caller(holder=f"grant token {use.credential_id}", client=client, use=used_from(use, client))

    async def _prove(self, use: CallUse, proof: str, token: str, method: str, body: bytes) -> None:
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
            await self._uses.database.run(_failed_proof, use=use, line=line_in(body), reason=str(error))
            headers = {"www-authenticate": 'DPoP error="invalid_dpop_proof", algs="ES256 Ed25519"'}
            raise Rejected(401, None, f"{error}.".capitalize(), headers=headers) from error

    # Tools

    async def tools(self, caller: Caller) -> list[Message]:
        use: CallUse = caller.use
        async with self._in_use(caller) as held:
            there = await self._unless_over(held, definitions(held))
        known = (there[name] for name in sorted(use.compiled.tools & there.keys()))
        return [tool for tool in known if use.pins.get(tool["name"]) == wire.digest_of(tool)]

    # Prompts and resources

    def capabilities(self, caller: Caller) -> Message:
        return capabilities(caller.use.compiled)

    async def listed(self, caller: Caller, method: str) -> list[Message] | None:
        """Return what the grant allows of one of the server's lists; None if it allows none of its kind."""
        use: CallUse = caller.use
        if not offers(use.compiled, method):
            return None
        async with self._in_use(caller) as held:
            there = await self._unless_over(held, definitions(held, method))
        return shown(use.compiled, method, there)

    def completion(self, caller: Caller, params: Mapping[str, Any]) -> list[str] | None:
        return completion(caller.use.compiled, params)

    # Calls

    async def call(self, caller: Caller, asked: Asked, answer: Answer, gone: asyncio.Task[None]) -> None:
        use: CallUse = caller.use
        wanted = call_in(asked.method, asked.params)
        if wanted is None:
            await answer.error(wire.INVALID_PARAMS, _INVALID)
            return

        async def say(result: Message) -> None:
            await answer.response(denied(asked, result))

        if use.held:
            dead = await self._write_down_unmade(use, wanted)
            why = dead.says if dead is not None else "is suspended."
            await say(stopped(use.grant_ref, why.removeprefix(f"{use.grant_ref} "), "grant_held"))
        else:
            try:
                async with self._in_use(caller) as held:
                    work = Call(self._uses.database, use, held, asked, answer, wanted)
                    await self._carry_out(held, asked, answer, gone, work)
            except Over as error:
                await say(ended_meanwhile(use.grant_ref, str(error), ". It was not made."))
            except GrantIsOver as error:
                # The grant ended between its authorization and its use.
                await self._write_down_unmade(use, wanted)
                await say(stopped(use.grant_ref, f"{error}", error.code))
            except StintError as error:
                await say(stopped(use.grant_ref, f"{error}", error.code))

    async def _write_down_unmade(self, use: CallUse, wanted: Wanted) -> DeadToken | None:
        """Record a call that was not made, because its grant or token can't be used, or no longer can."""
        line = line_of(wanted.name, wanted.arguments)
        return await self._uses.database.run(
            _dead_token, digest=use.credential_digest, target=use.target.name, line=line
        )

    async def _carry_out(
        self, held: OpenUse, asked: Asked, answer: Answer, gone: asyncio.Task[None], work: Call
    ) -> None:
        """Run a call until its response is sent, its client disconnects, or its grant ends."""
        task: asyncio.Task[object] = held.begin(work.run())
        if asked.id is not None:
            held.running[asked.id] = task
        try:
            # A client that has stopped reading has abandoned its call.
            with contextlib.suppress(TimeoutError):
                while not task.done() and not gone.done():
                    await asyncio.wait(
                        {task, gone}, timeout=SIGN_OF_LIFE_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    if not task.done() and not gone.done():
                        await answer.sign_of_life()
        finally:
            if asked.id is not None and held.running.get(asked.id) is task:
                del held.running[asked.id]
            task.cancel()
            await asyncio.wait({task})
        await work.conclude(task)

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
        """Wait for ``work`` and return its result. Raises Over if the grant ends first."""
        task = held.begin(work)
        try:
            await asyncio.wait({task})
            if held.over.is_set():
                raise Over(held.why)
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})


class _TooManyAtOnce(StintError):
    """The token has reached the maximum number of simultaneous requests. Wait for one to finish."""

    code = "too_many_at_once"
    status = 429


# Operations, with the current time


def _use(*, digest: str, cluster: str, client: str, body: bytes) -> CallUse | None:
    use = only(authorize_use(by=ByToken(digest, cluster)))
    if use is not None:
        return use
    dead = _dead_token(digest=digest, target=cluster, line=line_in(body))
    if dead is None:
        # Recording requests with unknown tokens would let anyone fill the record.
        log.warning("mcp.unknown_token", cluster=cluster[:63], client=client)
    elif dead.held:
        # The grant that it was delegated from is suspended.
        raise Rejected(403, None, dead.says)
    return None


def _dead_token(*, digest: str, target: str, line: str) -> DeadToken | None:
    return record_dead_token(token_digest=digest, target_name=target, line=line, now=clock.now())


def _failed_proof(*, use: CallUse, line: str, reason: str) -> None:
    record_failed_proof(use=use, line=line, reason=reason, now=clock.now())


def _check_proof(*, proof: str, token: str, jkt: str, method: str, url: str) -> None:
    check_proof(proof=proof, token=token, jkt=jkt, method=method, url=url, now=clock.now())
