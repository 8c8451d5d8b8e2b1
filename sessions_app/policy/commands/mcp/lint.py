"""The linter for MCP. It finds unexpected effects of a command set."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import Effect
from sessions_app.policy.commands.findings import Finding, Severity, document_findings
from sessions_app.policy.commands.json_values.placeholders import PLACEHOLDER
from sessions_app.policy.commands.mcp.compiling import compile_open
from sessions_app.policy.commands.mcp.covers import may_meet
from sessions_app.policy.commands.mcp.document import MCPAllow, MCPCall, MCPCommandSet, MCPResource, MCPTool
from sessions_app.policy.commands.mcp.results import FromResult
from sessions_app.policy.commands.mcp.shapes import Shape, Shaped, inside
from sessions_app.policy.commands.mcp.sinks import likely_sinks, loose_sinks, words
from sessions_app.policy.commands.mcp.uris import ANY
from sessions_app.policy.commands.parameters import (
    MAX_VALUE,
    ParameterType,
    PathBelow,
    Pattern,
)
from sessions_app.policy.commands.patterns import compile_pattern

_ANYTHING = ("a", "a b", "A-1", "é", "a/b", "a=b", "a,b", "1")
_LONG = "a" * MAX_VALUE
_RUNS = frozenset(
    (
        "shell",
        "exec",
        "execute",
        "eval",
        "bash",
        "sh",
        "cmd",
        "command",
        "terminal",
        "script",
        "run",
        "sql",
        "query",
        "python",
        "code",
    )
)
_TAKES_OUT = frozenset(
    ("export", "dump", "download", "backup", "archive", "attachments", "bulk", "batch", "all")
)
_TAKES_AWAY = frozenset(
    ("delete", "remove", "destroy", "purge", "drop", "erase", "wipe", "revoke", "disable")
)
_CHANGES = frozenset(
    (
        "create",
        "update",
        "write",
        "set",
        "add",
        "close",
        "send",
        "post",
        "put",
        "pay",
        "approve",
        "edit",
        "reset",
        "merge",
    )
)


def lint(document: MCPCommandSet) -> list[Finding]:
    """Return all findings, errors first, each in document order."""
    found = [*document_findings(document)]
    for name, type_ in document.parameters.items():
        found += _bound_findings(f"parameters.{name}", type_)
    for index, rule in enumerate(document.commands):
        if isinstance(rule, MCPTool):
            found += _name_findings(index, rule)
            found += _sink_findings(document, index, rule)
        if isinstance(rule, MCPCall):
            found += _freedom_findings(document, index, rule)
        elif isinstance(rule, MCPResource):
            found += _resource_findings(document, index, rule)
        elif not rule.deny.strip("*"):
            found.append(
                _found(index, "deny", "denies_all", "it denies every tool", "name the intended tools")
            )
    found += _overlaps(document)
    found += _resource_overlaps(document)
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error")


def _found(
    index: int, field: str, code: str, message: str, fix: str, severity: Severity = "warning"
) -> Finding:
    return Finding(severity, code, f"commands[{index}].{field}", message, fix)


def _bound_findings(where: str, type_: ParameterType) -> Iterator[Finding]:
    if isinstance(type_, Pattern) and _takes(type_.pattern, *_ANYTHING):
        yield Finding(
            "error",
            "broad_pattern",
            where,
            f"the pattern {clip(type_.pattern)} matches anything, so it also allows every other value",
            "allow only the expected characters, like T-[0-9]{1,8}, or use choice, int or name",
        )
    if isinstance(type_, PathBelow) and type_.root == "/":
        yield Finding(
            "error", "free_path", where, "a path below / can be any path", "set the intended folder"
        )


def _takes(pattern: str, *probes: str) -> bool:
    compiled = compile_pattern(pattern)
    return all(compiled.fullmatch(probe) for probe in probes)


def _name_findings(index: int, rule: MCPTool) -> Iterator[Finding]:
    named = words(rule.tool)
    if runs := named & _RUNS:
        yield _found(
            index,
            "tool",
            "runs",
            f"`{min(runs)}` in the name suggests a tool that runs arbitrary code",
            "allow tools that each do one thing, or limit the arguments to a list of values",
        )
    if out := named & _TAKES_OUT:
        yield _found(
            index,
            "tool",
            "takes_out",
            f"`{min(out)}` in the name suggests a bulk export",
            "check what the tool returns, and bind its arguments to the one intended object",
        )
    wanted: Effect | None = "destructive" if named & _TAKES_AWAY else "change" if named & _CHANGES else None
    if wanted and rule.effect == "read":
        word = min(named & (_TAKES_AWAY | _CHANGES))
        yield _found(
            index,
            "effect",
            "effect",
            f"`{word}` in the name suggests more than reading, but the effect is `read`",
            f"check what the tool does, and set effect: {wanted}",
            "error" if wanted == "destructive" else "warning",
        )
    elif wanted == "destructive" and rule.effect == "change":
        yield _found(
            index,
            "effect",
            "effect",
            "the name suggests that the tool permanently removes something",
            "set effect: destructive",
        )


def _freedom_findings(document: MCPCommandSet, index: int, rule: MCPCall) -> Iterator[Finding]:
    """Find arguments whose values the holder can choose."""
    for name, constraint in rule.arguments.items():
        if _is_free(document, rule, constraint):
            yield _found(
                index,
                f"arguments.{name}",
                "free_text",
                "the text is not limited in content or length",
                'limit the length and the characters: {pattern: "[ -~]{0,500}"}, or list the values',
            )
    bound = set(rule.names) & set(document.parameters) or any(
        isinstance(one, FromResult) and one.others is None for one in rule.arguments.values()
    )
    if document.parameters and rule.effect != "read" and not bound:
        yield _found(
            index,
            "arguments",
            "unbound",
            "the call uses no parameter of the grant, so it isn't limited to the grant's workflow",
            "bind an argument to a parameter",
        )


def _resource_findings(document: MCPCommandSet, index: int, rule: MCPResource) -> Iterator[Finding]:
    if document.parameters and not set(rule.names) & set(document.parameters) and "*" in rule.resource:
        yield _found(
            index,
            "resource",
            "unbound",
            "the URI uses no parameter of the grant, so it isn't limited to the grant's workflow",
            "bind a part to a parameter, like ticket://{ticket}/*",
        )


def _sink_findings(document: MCPCommandSet, index: int, rule: MCPTool) -> Iterator[Finding]:
    """Find sinks that the holder can choose, if no one approves the call."""
    if rule.hold:
        return
    for name in loose_sinks(document, rule):
        yield _found(
            index,
            f"arguments.{name}",
            "free_sink",
            "the holder can choose where it goes or what it changes, without approval",
            "set hold: true, bind the argument to a parameter, or give the reason under free_sinks",
            "error",
        )
    if rule.after_untrusted == "allow" and (rule.free_sinks or rule.effect == "destructive"):
        yield _found(
            index,
            "after_untrusted",
            "after_untrusted",
            "the call runs without approval even after an outsider's instructions were read",
            "set after_untrusted: hold, or bind its sinks",
        )
    for name in likely_sinks(document, rule) if rule.effect != "read" else ():
        yield _found(
            index,
            f"arguments.{name}",
            "likely_sink",
            "the argument's name suggests that the holder can choose what the call affects, without approval",
            "set hold: true, bind the argument to a parameter, or give the reason: free_sinks: "
            f"{{{name}: …}}",
        )


def _is_free(document: MCPCommandSet, rule: MCPCall, constraint: Any) -> bool:
    if isinstance(constraint, Shaped):
        return _has_free_text(constraint.shape)
    if isinstance(constraint, str) and constraint[:1] == "{" and constraint[1:-1] in rule.where:
        constraint = document.type_of(rule, constraint[1:-1])
    return isinstance(constraint, Pattern) and _takes(constraint.pattern, _LONG)


def _has_free_text(shape: Shape) -> bool:
    limited = shape.has_const or shape.enum or shape.max_length is not None
    if shape.type == "string" and not limited and (shape.pattern is None or _takes(shape.pattern, _LONG)):
        return True
    return any(map(_has_free_text, inside(shape)))


def _overlaps(document: MCPCommandSet) -> Iterator[Finding]:
    """Find pairs of commands for one tool or prompt that decide differently on the same call."""
    calls = [(index, rule) for index, rule in enumerate(document.commands) if isinstance(rule, MCPCall)]
    for (first, one), (second, other) in combinations(calls, 2):
        if one.name == other.name and _decides(one) != _decides(other):
            yield _found(
                second,
                other.WRITTEN,
                "overlap",
                f"a call can match both this and commands[{first}], and the stricter one applies",
                "check that this is intended, or limit their arguments so that no call matches both",
            )


def _resource_overlaps(document: MCPCommandSet) -> Iterator[Finding]:
    """Find pairs of templates that match the same URI, and decide or limit it differently."""
    rules = {index: rule for index, rule in enumerate(document.commands) if isinstance(rule, MCPResource)}
    commands = compile_open(document).commands if len(rules) > 1 else ()
    for first, second in combinations(rules, 2):
        why = _differs(rules[first], rules[second])
        if why and may_meet(commands[first], commands[second]):
            yield _found(
                second,
                "resource",
                "overlap",
                f"a URI can match both this and commands[{first}], {why}",
                "check that this is intended, or write templates so that no URI matches both",
            )


def _differs(one: MCPResource, other: MCPResource) -> str:
    """Return how two templates for the same URI differ; empty if the pair allows what it seems to."""
    if (one.untrusted, *_decides(one)) != (other.untrusted, *_decides(other)):
        return "and the stricter one applies"
    for places in zip(one.template.places, other.template.places, strict=False):
        name = next((place for place in places if PLACEHOLDER.fullmatch(place)), None)
        if name and ANY in places:
            return f"and only one of them limits a part to {name}"
    return ""


def _decides(rule: MCPAllow) -> tuple[object, ...]:
    return rule.effect, rule.hold, rule.budget
