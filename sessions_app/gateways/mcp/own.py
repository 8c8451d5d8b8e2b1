"""Stint itself as an MCP server: agents request access here, and follow the progress of their requests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from accounts.models import APIToken
from accounts.queries import valid_token
from broker.kernel import clock
from broker.kernel.crypto import token_digest
from broker.kernel.errors import StintError, Unavailable
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.wire import Message
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.mcp.answers import SIGN_OF_LIFE_S, Answer, text_result
from sessions_app.gateways.mcp.asked import Asked, Rejected
from sessions_app.gateways.mcp.own_tools import TOOLS, Did, Tool, use_tool
from sessions_app.gateways.mcp.service import Caller, challenge

_TOKEN = re.compile(r"Bearer (stint_[\x21-\x7e]{1,200})", re.IGNORECASE)
MOST_STREAMS = 200
# Seconds. If a person is disabled, the person's streams end within this time.
CHECK_AGAIN_AFTER_S = 60.0


class OwnService:
    """The MCP server at ``/mcp``."""

    path = "/mcp"
    instructions = (
        "Access is granted for one task at a time. Find out what you can request, request it, wait until "
        "people have decided, and end your grants when you are done. No tool here approves requests."
    )

    def __init__(self, database: Database, admissions: Admissions) -> None:
        self._database, self._admissions = database, admissions
        self._stopping = asyncio.get_running_loop().create_future()
        self._streams = 0

    async def caller(self, headers: Mapping[str, str], client: str, _method: str, _body: bytes) -> Caller:
        found = _TOKEN.fullmatch(headers.get("authorization", ""))
        if found is None:
            error = "invalid_token" if "authorization" in headers else ""
            raise challenge(settings.MCP_URL, self.path, error=error, scope="read request end")
        token = await self._admissions.ask(token_digest(found[1]), client, _valid, text=found[1])
        if token is None:
            raise challenge(settings.MCP_URL, self.path, error="invalid_token", scope="read request end")
        if not {tool.scope.value for tool in TOOLS.values()} & set(token.scopes):
            raise challenge(settings.MCP_URL, self.path, error="insufficient_scope", scope="read request end")
        return Caller(holder=f"API token {token.pk}", client=client, use=(token, found[1]))

    async def tools(self, caller: Caller) -> list[Message]:
        scopes = caller.use[0].scopes
        return [tool.described for tool in TOOLS.values() if tool.scope in scopes]

    def capabilities(self, caller: Caller) -> Message:
        del caller
        return {"tools": {"listChanged": True}}

    async def listed(self, caller: Caller, method: str) -> list[Message] | None:
        """Return None: this server has only tools."""

    def completion(self, caller: Caller, params: Mapping[str, Any]) -> list[str] | None:
        """Return None: this server has only tools."""

    async def call(self, caller: Caller, asked: Asked, answer: Answer, gone: asyncio.Task[None]) -> None:
        del gone  # a started call is completed even if no one waits for it
        token: APIToken = caller.use[0]
        name = asked.params.get("name")
        tool = TOOLS.get(name) if isinstance(name, str) else None
        if tool is None:
            return await answer.error(wire.INVALID_PARAMS, "Unknown tool.")
        if tool.scope not in token.scopes:
            raise challenge(settings.MCP_URL, self.path, error="insufficient_scope", scope=tool.scope.value)
        arguments = asked.params.get("arguments", {})
        try:
            text, told = await self._database.run(_use, tool=tool, token=token, arguments=arguments)
        except Unavailable:
            raise
        except StintError as error:
            told = {"error": error.code, "reason": error.message, "hint": error.hint, "fields": error.fields}
            return await answer.result(text_result(str(error), told, failed=True))
        return await answer.result(text_result(text, told))

    def cancel(self, caller: Caller, number: Any) -> None:
        """Do nothing: calls here end before they could be canceled."""

    async def stream(self, caller: Caller, answer: Answer, gone: asyncio.Task[None]) -> None:
        if self._streams >= MOST_STREAMS:
            raise Rejected(503, None, "Too many streams are open.")
        loop = asyncio.get_running_loop()
        check_at = loop.time() + CHECK_AGAIN_AFTER_S
        self._streams += 1
        try:
            await answer.start_stream()
            while not gone.done() and not self._stopping.done():
                await asyncio.wait(
                    {gone, self._stopping}, timeout=SIGN_OF_LIFE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if loop.time() > check_at:
                    if await self._database.run(_valid, text=caller.use[1]) is None:
                        return
                    check_at = loop.time() + CHECK_AGAIN_AFTER_S
                if not gone.done() and not self._stopping.done():
                    await answer.sign_of_life()
        finally:
            self._streams -= 1

    def stop(self) -> None:
        """End every stream."""
        if not self._stopping.done():
            self._stopping.set_result(None)


def _valid(*, text: str) -> APIToken | None:
    return valid_token(text, clock.now())


def _use(*, tool: Tool, token: APIToken, arguments: Any) -> Did:
    return use_tool(tool=tool, token=token, arguments=arguments, now=clock.now())
