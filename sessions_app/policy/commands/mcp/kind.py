"""Calls of tools behind the MCP gateway."""

from __future__ import annotations

from sessions_app.policy.commands.kind import CommandKind
from sessions_app.policy.commands.mcp.compiling import compile_open, compile_set
from sessions_app.policy.commands.mcp.covers import covers
from sessions_app.policy.commands.mcp.decide import decide, describe
from sessions_app.policy.commands.mcp.document import MCPCommandSet
from sessions_app.policy.commands.mcp.lint import lint
from sessions_app.policy.commands.mcp.starters import STARTERS

KIND = CommandKind(
    name="mcp",
    title="MCP",
    document=MCPCommandSet,
    starters=STARTERS,
    hint='read_ticket {"id": "T-7"}',
    with_values=compile_set,
    open=compile_open,
    decide=decide,
    covers=covers,
    describe=describe,
    lint=lint,
)
