"""What a server says about its tools is compared with what a command set says."""

import pytest

from sessions_app.policy.commands.kinds import compile_open, parse_text
from sessions_app.policy.commands.mcp.definitions import doubts

MAIL = "name: x\nkind: mcp\nsummary: x\nrisk: low\ncommands: [{tool: t, arguments: {x: {name: 9}}, %s}]"
EMAIL = {"inputSchema": {"properties": {"x": {"type": "string", "format": "email"}}}}
EMAILS = {"inputSchema": {"properties": {"x": {"type": "array", "items": {"format": "uri"}}}}}


@pytest.mark.parametrize(
    ("rule", "tool", "says"),
    [
        ("effect: change", EMAIL, "x of t is free and has the format email: it may be a sink."),
        ("effect: change", EMAILS, "x of t is free and has the format uri: it may be a sink."),
        ("effect: read", EMAIL, ""),
        ("effect: change, hold: true", EMAIL, ""),
        ("effect: change, sinks: [x]", EMAIL, ""),
        ("effect: change", {"inputSchema": {"properties": {"x": {"format": "date"}}}}, ""),
        ("effect: change", {"annotations": {"destructiveHint": True}}, "t may destroy something, but"),
        ("effect: destructive", {"annotations": {"destructiveHint": True}}, ""),
        ("effect: read", {"annotations": {"readOnlyHint": False}}, "t may change something, but"),
        ("effect: read", {"annotations": {"readOnlyHint": True, "destructiveHint": True}}, ""),
        ("effect: read", {"annotations": 7, "inputSchema": [7]}, ""),
        ("effect: read", {"inputSchema": {"properties": {"x": 7}}}, ""),
    ],
)
def test_a_definition_that_says_more_than_the_set_is_reported(rule, tool, says):
    found = " ".join(doubts(compile_open(parse_text(MAIL % rule)), {"t": tool}))
    assert found.startswith(says) if says else not found
