"""The connector for MCP clusters.

Nothing is created on a server. Only Stint's gateway has a credential for the server, and Stint decides at
each call what a token allows. Before access starts, the definitions of the grant's tools are read and stored
as digests, so that a tool that changes later is not called. When a grant ends, the connector can only
verify whether the server accepts requests without a token.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from sessions_app.connectors.base import (
    CALL_SECONDS,
    CheckStep,
    ConnectorError,
    Evidence,
    GrantSpec,
    Json,
    LeaseSpec,
    Observed,
    TargetSpec,
)
from sessions_app.connectors.mcp.parameters import MCPParameters
from sessions_app.connectors.mcp.reach import conversation_with, status_for_strangers
from sessions_app.connectors.mcp.wire import LISTS, Message
from sessions_app.connectors.registry import ConnectorType
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.mcp.compiling import CompiledSet
from sessions_app.policy.commands.mcp.definitions import doubts

T = TypeVar("T")
# What a server lists, by method, each by name or URI.
Lists = Mapping[str, Mapping[str, Message]]
_IN_ALL_S = CALL_SECONDS - 5
_REFUSALS = (401, 403)


class MCPConnector:
    """Queries MCP servers for their tools, and checks whether they accept requests without a token."""

    kind = "mcp"

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Read the definitions of the grant's tools and return their digests.

        Digests from an earlier call are kept, because a second read must not change the approved definitions.
        """
        if not isinstance(spec.commands, CompiledSet):
            raise ConnectorError("The grant's commands are not for MCP.", permanent=True)
        there = _run(spec.place, _tools) if spec.commands.tools else {}
        kept = _pinned(spec.made)
        # A tool that did not exist when the grant started is not added later, because no one would review it.
        wanted = set(spec.commands.tools & there.keys()) if not kept else set(kept)
        if not wanted and spec.commands.tools:
            named = ", ".join(sorted(spec.commands.tools)[:5])
            raise ConnectorError(f"{spec.place.target.name} has none of the tools of this grant ({named}).")
        tools: dict[str, Json] = {name: kept.get(name) or there[name] for name in sorted(wanted)}
        return LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place, made={"tools": tools})

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Check whether the server accepts requests without a token. Nothing has to be removed."""
        return self.verify(lease)

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Report whether the server accepts requests without Stint's token.

        A server never stores anything for a grant.
        """
        asked_at = dt.datetime.now(dt.UTC).isoformat()
        status = _run(lease.place, _stranger)
        access = (
            "refuses requests without a token" if status in _REFUSALS else "accepts requests without a token"
        )
        return Evidence(
            gone=True,
            detail={
                "asked": f"without a token at {lease.place.target.address}:{lease.place.target.port}",
                "status": status,
                "access": access,
                "made": 0,
                "removed": 0,
                "credential": "the gateway's alone",
                "asked_at": asked_at,
                "answered_at": dt.datetime.now(dt.UTC).isoformat(),
            },
        )

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return an empty list once the server has responded, because Stint creates nothing there."""
        _run(place, _stranger)
        return []

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Check that the server is reachable, refuses requests without a token, supports MCP, and
        has tools.
        """
        reach = "Start the server, or fix the address, port, path and TLS settings."
        try:
            status = _run(place, _stranger)
        except ConnectorError as error:
            return [CheckStep("reachable", False, error.message, reach)]
        shut = status in _REFUSALS
        steps = [
            CheckStep("reachable", True, f"{place.target.address}:{place.target.port} returned {status}"),
            CheckStep(
                "refuses requests without a token",
                True,
                "a request without a token is refused" if shut else "the server responds without a token",
                (
                    ""
                    if shut
                    else (
                        "Require a token, or allow only Stint to reach the server. Otherwise agents "
                        "can bypass grants."
                    )
                ),
            ),
        ]
        try:
            said, count = _run(place, _about)
        except ConnectorError as error:
            return [*steps, CheckStep("supports MCP", False, error.message, "Fix the path or the token.")]
        return [
            *steps,
            CheckStep("supports MCP", True, said),
            CheckStep("has tools", count > 0, f"{count} tools", "Add one."),
        ]

    def check_commands(self, place: TargetSpec, sets: Sequence[answers.CompiledSet]) -> list[CheckStep]:
        """Report which tools, prompts and resources of the command sets the server does not list, and which
        risks the tools' definitions suggest that the sets do not declare.
        """
        ours = [one for one in sets if isinstance(one, CompiledSet)]
        methods = [method for method in LISTS if any(_needs(one, method) for one in ours)]
        try:
            there = _run(place, partial(_lists, methods=methods))
        except ConnectorError as error:
            fix = "Fix the server, so that it lists what command sets name."
            return [CheckStep("lists for command sets", False, error.message, fix)]
        return [step for one in ours for step in _compared(one, there)]


def _needs(one: CompiledSet, method: str) -> bool:
    """Whether a set names anything that the server lists with this method."""
    named = {"tools/list": one.tools, "prompts/list": one.prompts}.get(method, one.resources)
    return bool(named)


def _compared(one: CompiledSet, there: Lists) -> Iterator[CheckStep]:
    tools = there.get("tools/list", {})
    yield from _found("tools", one, one.tools, tools)
    yield from _found("prompts", one, one.prompts, there.get("prompts/list", {}))
    if one.resources:
        yield _resources_found(one, there["resources/list"], there["resources/templates/list"])
    if found := list(doubts(one, tools)):
        fix = "Correct the effects, and mark sinks in the command set."
        yield CheckStep(f"definitions for {one.name}", True, " ".join(found), fix)


def _found(
    what: str, one: CompiledSet, names: frozenset[str], there: Mapping[str, Message]
) -> Iterator[CheckStep]:
    """Yield whether a set's tools or prompts are on the server, unless it has none."""
    missing = sorted(names - there.keys())
    if names:
        yield CheckStep(
            f"{what} of {one.name}",
            not missing,
            f"not found: {', '.join(missing)}" if missing else "all found",
            "Correct their names in the command set, or add them to the server." if missing else "",
        )


def _resources_found(
    one: CompiledSet, listed: Mapping[str, Message], templates: Mapping[str, Message]
) -> CheckStep:
    """Return whether the server lists a set's resources.

    A server need not list all that it has, so a missing one is an error only if it lists none at all.
    """
    missing = [
        check.limits
        for check in one.uris
        if not any(check.fault(uri, {}) is None for uri in listed)
        and not any(map(check.may_match, templates))
    ]
    return CheckStep(
        f"resources of {one.name}",
        not missing or bool(listed or templates),
        f"not listed: {', '.join(missing)}" if missing else "all found",
        "Correct their URIs in the command set, unless the server has them." if missing else "",
    )


def _pinned(made: Mapping[str, Any]) -> dict[str, str]:
    tools = made.get("tools")
    return {str(name): str(digest) for name, digest in tools.items()} if isinstance(tools, Mapping) else {}


def _run(place: TargetSpec, ask: Callable[[TargetSpec], Coroutine[Any, Any, T]]) -> T:
    """Run ``ask`` in an event loop of this thread. Raises ConnectorError."""

    async def in_time() -> T:
        async with asyncio.timeout(_IN_ALL_S):
            return await ask(place)

    try:
        return asyncio.run(in_time())
    except TimeoutError as error:
        raise ConnectorError(f"{place.target.name} did not respond in time.") from error


async def _tools(place: TargetSpec) -> dict[str, str]:
    """Return the digest of each tool's definition, by name."""
    # Imported here to save the client's memory in processes that query no MCP server.
    from sessions_app.connectors.mcp.wire import digest_of  # noqa: PLC0415

    return {name: digest_of(tool) for name, tool in (await _definitions(place)).items()}


async def _definitions(place: TargetSpec) -> Mapping[str, Message]:
    """Return each tool's definition, by name."""
    return (await _lists(place, methods=["tools/list"]))["tools/list"]


async def _lists(place: TargetSpec, *, methods: Collection[str]) -> Lists:
    """Return the server's lists by method, each by name or URI."""
    talk = conversation_with(place)
    await talk.begin()
    found = {method: await talk.listed(method) for method in methods}
    await talk.close()
    return found


async def _about(place: TargetSpec) -> tuple[str, int]:
    talk = conversation_with(place)
    await talk.begin()
    count = len(await talk.tools())
    await talk.close()
    return f"{talk.server or 'a server without a name'}, version {talk.version}", count


async def _stranger(place: TargetSpec) -> int:
    """Return the status code of the response to a request without a token."""
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
