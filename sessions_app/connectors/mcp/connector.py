"""The connector of mcp clusters.

Nothing is made on a server: Stint's gateway alone has a credential for it, and a token opens what Stint says at each call.
Before access begins, the definitions of the tools that it is about are read and kept by their digests, so that a tool that
is another one later is not called. What can be proven at the target is whether it answers strangers.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from sessions_app.connectors.base import (
    CALL_SECONDS,
    CheckStep,
    ConnectorError,
    Evidence,
    GrantSpec,
    Json,
    Lease,
    Observed,
    Place,
)
from sessions_app.connectors.mcp.parameters import MCPParameters
from sessions_app.connectors.mcp.reach import conversation_with, status_for_strangers
from sessions_app.connectors.registry import ConnectorType
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.mcp.decide import CompiledSet

T = TypeVar("T")
_IN_ALL_S = CALL_SECONDS - 5
_REFUSALS = (401, 403)


class MCPConnector:
    """Asks MCP servers which tools they have, and as a stranger whether they answer."""

    kind = "mcp"

    def provision(self, spec: GrantSpec) -> Lease:
        """Read the definitions of the tools that the grant is about and keep their digests. One that was kept before stays:
        what was approved does not change by looking again.
        """
        if not isinstance(spec.commands, CompiledSet):
            raise ConnectorError("Its commands are not for MCP.", permanent=True)
        there = _run(spec.place, _tools)
        kept = _pinned(spec.made)
        # What was not there when the grant began is not added later, when nobody looked at it.
        wanted = set(spec.commands.tools & there.keys()) if not kept else set(kept)
        if not wanted and spec.commands.tools:
            named = ", ".join(sorted(spec.commands.tools)[:5])
            raise ConnectorError(f"{spec.place.target.name} has none of the tools of this grant ({named}).")
        tools: dict[str, Json] = {name: kept.get(name) or there[name] for name in sorted(wanted)}
        return Lease(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place, made={"tools": tools})

    def revoke(self, lease: Lease) -> Evidence:
        """Nothing has to be unmade: see how the server treats strangers."""
        return self.verify(lease)

    def verify(self, lease: Lease) -> Evidence:
        """Nothing of a grant is ever there. Say whether the server answers whoever comes without Stint's token."""
        asked_at = dt.datetime.now(dt.UTC).isoformat()
        status = _run(lease.place, _stranger)
        door = "refuses requests without a token" if status in _REFUSALS else "answers without a token"
        return Evidence(
            gone=True,
            detail={
                "asked": f"without a token at {lease.place.target.address}:{lease.place.target.port}", "status": status,
                "door": door, "made": 0, "removed": 0, "credential": "the gateway's alone", "asked_at": asked_at,
                "answered_at": dt.datetime.now(dt.UTC).isoformat(),
            },
        )  # fmt: skip

    def observe(self, place: Place) -> list[Observed]:
        """Nothing of Stint is ever on a server."""
        _run(place, _stranger)
        return []

    def check(self, place: Place) -> list[CheckStep]:
        """Reachable; refuses requests without a token; speaks MCP to Stint; has tools."""
        reach = "Start the server, or fix the address, port, path and TLS settings."
        try:
            status = _run(place, _stranger)
        except ConnectorError as error:
            return [CheckStep("reachable", False, error.message, reach)]
        shut = status in _REFUSALS
        steps = [
            CheckStep("reachable", True, f"{place.target.address}:{place.target.port} answers {status}"),
            CheckStep(
                "refuses requests without a token", True, "a request without a token is refused" if shut else "it answers without a token",
                "" if shut else "Require a token, or allow only Stint to reach it. Otherwise agents can bypass grants.",
            ),
        ]  # fmt: skip
        try:
            said, count = _run(place, _about)
        except ConnectorError as error:
            return [*steps, CheckStep("speaks MCP", False, error.message, "Fix the path or the token.")]
        return [
            *steps,
            CheckStep("speaks MCP", True, said),
            CheckStep("has tools", count > 0, f"{count} tools", "Add one."),
        ]

    def check_commands(self, place: Place, sets: Sequence[answers.CompiledSet]) -> list[CheckStep]:
        """Say which tools of the command sets are not there: a call of them would fail."""
        try:
            there = _run(place, _tools)
        except ConnectorError:
            return []  # `check` has said so
        return [
            CheckStep(
                f"tools of {one.name}", not missing,
                f"not there: {', '.join(missing)}" if missing else "all there",
                "Fix their names in the command set, or add them to the server." if missing else "",
            )
            for one in sets
            if isinstance(one, CompiledSet)
            for missing in [sorted(one.tools - there.keys())]
        ]  # fmt: skip


def _pinned(made: Mapping[str, Any]) -> dict[str, str]:
    tools = made.get("tools")
    return {str(name): str(digest) for name, digest in tools.items()} if isinstance(tools, Mapping) else {}


def _run(place: Place, ask: Callable[[Place], Coroutine[Any, Any, T]]) -> T:
    """Ask in an event loop of this thread's own. Raises ConnectorError."""

    async def in_time() -> T:
        async with asyncio.timeout(_IN_ALL_S):
            return await ask(place)

    try:
        return asyncio.run(in_time())
    except TimeoutError as error:
        raise ConnectorError(f"{place.target.name} does not answer in time.") from error


async def _tools(place: Place) -> dict[str, str]:
    """The digest of each tool's definition, by name."""
    # A process that asks no MCP server spares the client's memory.
    from sessions_app.connectors.mcp.wire import digest_of  # noqa: PLC0415

    talk = conversation_with(place)
    await talk.begin()
    found = {name: digest_of(tool) for name, tool in (await talk.tools()).items()}
    await talk.close()
    return found


async def _about(place: Place) -> tuple[str, int]:
    talk = conversation_with(place)
    await talk.begin()
    count = len(await talk.tools())
    await talk.close()
    return f"{talk.server or 'a server without a name'}, version {talk.version}", count


async def _stranger(place: Place) -> int:
    """How a request without a token is answered."""
    return await status_for_strangers(place)


TYPE = ConnectorType(
    kind="mcp",
    title="MCP",
    make=MCPConnector,
    parameters=MCPParameters,
    default_port=443,
    issues=True,
    shows=False,
    single=True,
    sees=True,
)
