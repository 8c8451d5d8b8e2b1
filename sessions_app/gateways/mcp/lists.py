"""The prompts and resources that a grant allows, of those that a server lists.

A list is never an authority: each request is decided again. Source: Model Context Protocol 2026-07-28,
"Prompts", "Resources" and "Completion".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sessions_app.connectors.mcp.wire import Message
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.json_values.checks import Exact, Typed
from sessions_app.policy.commands.mcp.compiling import CompiledSet
from sessions_app.policy.commands.mcp.decide import decide_call
from sessions_app.policy.commands.mcp.document import PROMPT, READ
from sessions_app.policy.commands.parameters import Choice

_MOST_VALUES = 100


def capabilities(compiled: CompiledSet) -> Message:
    """Return the capabilities of the server for a grant."""
    found: Message = {"tools": {"listChanged": True}}
    if compiled.prompts:
        found |= {"prompts": {}, "completions": {}}
    return {**found, "resources": {}} if compiled.resources else found


def offers(compiled: CompiledSet, method: str) -> bool:
    """Whether a grant allows anything of the kind that a method lists."""
    return bool(compiled.prompts if method == "prompts/list" else compiled.resources)


def shown(compiled: CompiledSet, method: str, there: Mapping[str, Message]) -> list[Message]:
    """Return the items of a server's list that a grant allows, sorted by name or URI."""
    if method == "prompts/list":
        return [there[name] for name in sorted(compiled.prompts & there.keys())]
    if method == "resources/list":
        listed = (_shown(compiled, uri, there[uri]) for uri in sorted(there))
        return [one for one in listed if one is not None]
    return [there[text] for text in sorted(there) if any(one.may_match(text) for one in compiled.uris)]


def _shown(compiled: CompiledSet, uri: str, resource: Message) -> Message | None:
    """Return a resource if it can be read.

    Outsiders can choose the texts of untrusted resources, and a list counts as no result. So only those are
    listed whose whole URI is in the grant, without the server's texts.
    """
    decision = decide_call(compiled, READ, {"uri": uri})
    if not isinstance(decision, Allowed):
        return None
    if not decision.untrusted:
        return resource
    bound = any(check.is_bound and check.fault(uri, {}) is None for check in compiled.uris)
    return {"uri": uri, "name": uri} if bound else None


def completion(compiled: CompiledSet, params: Mapping[str, Any]) -> list[str] | None:
    """Return the values that begin with the text of a prompt's argument; None if the prompt is not allowed.

    The values are from the grant. The server is not queried, because the text was not decided.
    """
    ref, argument = params.get("ref"), params.get("argument")
    if not isinstance(ref, Mapping) or not isinstance(argument, Mapping) or ref.get("type") != "ref/prompt":
        return None
    name, key, text = ref.get("name"), argument.get("name"), argument.get("value")
    if not all(isinstance(one, str) for one in (name, key, text)) or name not in compiled.prompts:
        return None
    checks = ((one.arguments or {}).get(str(key)) for one in compiled.by_tool[f"{PROMPT}{name}"])
    values = dict.fromkeys(value for check in checks for value in _values(check))
    return [value for value in values if value.startswith(str(text))][:_MOST_VALUES]


def _values(check: object) -> tuple[str, ...]:
    if isinstance(check, Exact):
        return (str(check.value),)
    return check.type.choices if isinstance(check, Typed) and isinstance(check.type, Choice) else ()
