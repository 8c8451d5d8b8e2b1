"""The command set of a task, in the three scopes that are compared."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from sessions_app.policy.commands.kinds import compile_open, lint, parse_document
from sessions_app.policy.commands.mcp.compiling import CompiledSet
from sessions_app.policy.commands.mcp.document import MCPCommandSet
from tests.bench.agents.sets.writing import NAMES, TEXT, Change, Limits, Suite

# Arguments bound to the prompt; and that with sinks, values from results, and taint.
Scope = Literal["bound", "full"]


def document(suite: Suite, task: str, scope: Scope) -> dict[str, Any]:
    """Return the command set, as a catalog's file has it."""
    rules = [_read(suite, name, scope) for name in suite.reads]
    rules += [_change(suite, name, given, scope) for name, given in suite.tasks[task].items()]
    name = task.replace("_", "-")
    return {
        "name": name,
        "kind": "mcp",
        "summary": "One task",
        "risk": "low",
        "commands": rules,
        "examples": {"allow": [_shortest(suite)], "refuse": ["nothing_like_it"]},
    }


def publishable(suite: Suite, task: str) -> dict[str, Any]:
    """Return the full set with a reason for each warning of the linter."""
    found = document(suite, task, "full")
    warnings = [one for one in lint(parse_document(found)) if one.severity == "warning"]
    reasons = {f"{one.code} {one.where}": "the task's prompt asks for it" for one in warnings}
    return {**found, "accept": reasons} if reasons else found


@cache
def compiled(suite: Suite, task: str, scope: Scope) -> CompiledSet:
    """Return it compiled."""
    parsed = parse_document(document(suite, task, scope))
    assert isinstance(parsed, MCPCommandSet)
    found = compile_open(parsed)
    assert isinstance(found, CompiledSet)
    return found


def _shortest(suite: Suite) -> str:
    """Return a read without arguments."""
    return next(name for name, limits in suite.reads.items() if set(limits) <= suite.optional_reads)


def _read(suite: Suite, name: str, scope: Scope) -> dict[str, Any]:
    limits = suite.reads[name]
    return {
        "tool": name,
        "arguments": dict(limits),
        "effect": "read",
        "optional": [one for one in limits if one in suite.optional_reads],
        "untrusted": scope == "full" and name in suite.untrusted,
    }


def _change(suite: Suite, name: str, given: Limits, scope: Scope) -> dict[str, Any]:
    change = suite.changes[name]
    limits = _limits(change, given)
    rule: dict[str, Any] = {
        "tool": name,
        "arguments": limits,
        "effect": change.effect,
        "optional": [one for one in change.optional if one in limits],
    }
    if scope == "bound":
        rule["arguments"] = {one: _without_results(limit) for one, limit in limits.items()}
        return rule if change.effect == "read" else {**rule, "after_untrusted": "allow"}
    return {**rule, **_guards(change, limits), "untrusted": name in suite.untrusted}


def _guards(change: Change, limits: Limits) -> dict[str, Any]:
    """Return what guards a change: which sinks it has, and whether it is held, always or after untrusted
    results.

    It is always held if a sink is open, or if it destroys something that the prompt does not name. After an
    untrusted result, it is held unless the prompt also fixes what other people then read.
    """
    sinks = [one for one in change.sinks if one in limits]
    open_sink = any(_is_open(limits[one]) for one in sinks)
    unnamed = change.effect == "destructive" and any(_has(limits[one], "from") for one in sinks)
    open_text = any(_is_open(limits[one]) for one in change.says if one in limits)
    guards: dict[str, Any] = {
        "sinks": sinks,
        "free_sinks": {
            one: "the prompt says how it is written" for one in sinks if _has(limits[one], "pattern")
        },
        "hold": open_sink or unnamed,
    }
    if change.effect != "read" and not open_sink and not (sinks and open_text):
        guards["after_untrusted"] = "allow"
    return guards


def _limits(change: Change, given: Limits) -> dict[str, Any]:
    """Return the limits on arguments. If a prompt names a sink, optional ones that it doesn't name are left
    out.
    """
    named = any(given.get(one) is not None for one in change.sinks)
    left_out = {one for one in change.optional if one in change.sinks and named and one not in given}
    limits = {**change.arguments, **given}
    return {name: limit for name, limit in limits.items() if limit is not None and name not in left_out}


def _is_open(limit: Any) -> bool:
    """Whether the holder chooses the value at each call, in no given form."""
    if not isinstance(limit, Mapping) or "schema" not in limit:
        return False
    shape = limit["schema"].get("items", limit["schema"])
    return "enum" not in shape and shape["type"] in ("string", "object")


def _has(limit: Any, key: str) -> bool:
    return isinstance(limit, Mapping) and key in limit


def _without_results(limit: Any) -> Any:
    """Return a limit as sets had it before values could be bound to results."""
    if not isinstance(limit, Mapping) or "from" not in limit:
        return limit
    if limit["fields"][0].endswith(".id"):
        return {"schema": {"type": "integer"}}
    return NAMES if "list" in limit else TEXT
