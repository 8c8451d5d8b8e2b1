"""The mcp kind, as `policy.commands.kinds` registers it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sessions_app.policy.commands.answers import Allowed, CommandView, Refused
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.mcp import decide as deciding
from sessions_app.policy.commands.mcp.covers import covers
from sessions_app.policy.commands.mcp.decide import CompiledSet
from sessions_app.policy.commands.mcp.document import MCPCommandSet
from sessions_app.policy.commands.mcp.lint import lint
from sessions_app.policy.commands.mcp.starters import STARTERS
from sessions_app.policy.commands.starters import Starter


class MCPKind:
    """Calls of tools behind the MCP gateway."""

    name = "mcp"
    title = "MCP"
    document = MCPCommandSet
    starters: Sequence[Starter] = STARTERS
    hint = 'read_ticket {"id": "T-7"}'

    def compile(
        self, document: MCPCommandSet, bindings: Mapping[str, str] | None, keep: Collection[int] | None
    ) -> CompiledSet:
        """The calls with values in place."""
        if bindings is None:
            return deciding.compile_open(document)
        return deciding.compile_set(document, bindings, keep)

    def decide(self, compiled: CompiledSet, line: str) -> Allowed | Refused:
        """Whether this call may be made."""
        return deciding.decide(compiled, line)

    def covers(self, parent: CompiledSet, child: CompiledSet) -> str | None:
        """Why one set is not within the other; None when it is."""
        return covers(parent, child)

    def describe(self, compiled: CompiledSet) -> list[CommandView]:
        """The calls with bound values."""
        return deciding.describe(compiled)

    def lint(self, document: MCPCommandSet) -> list[Finding]:
        """What the calls allow beyond what they seem to."""
        return lint(document)


KIND = MCPKind()
