"""Decide on calls of tools and prompts, and on reads of resources.

This is the only function that decides for the gateway, the tester, the API and the pages.

If several commands match, the strictest decides: denied before held, held before allowed, destructive before
change before read. Denies match broadly (any letter case and spelling of a value, and if in doubt); allows
match exactly.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sessions_app.policy.commands.answers import (
    Allowed,
    CommandView,
    Refused,
    amounts_in,
    budget_of,
    free_parameter,
)
from sessions_app.policy.commands.budgets import AmountRefused, say_budgets
from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.json_values.bodies import BodyRefused, Json, canonical_body, read_body
from sessions_app.policy.commands.json_values.checks import Typed, leaves
from sessions_app.policy.commands.mcp.compiling import CompiledSet, CompiledToolCommand
from sessions_app.policy.commands.mcp.document import PROMPT, READ, TOOL_NAME, MCPDeny, MCPTool
from sessions_app.policy.commands.mcp.results import ResultCheck, Seen, Value, ValueSource, say_source
from sessions_app.policy.commands.parameters import ValueRefused


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide whether a call may be made: `read_ticket {"id": "T-7"}`, or only the name if it has no
    arguments.
    """
    at = hidden_at(line)
    if at is not None:
        return Refused(f"{show(line[at])} is not printable: remove it", None, "syntax")
    name, _, said = line.partition(" ")
    try:
        return decide_call(compiled, name, read_body(said) if said.strip() else {})
    except BodyRefused as error:
        return Refused(str(error).replace("the body", "the text after the name"), None, "syntax")


@dataclass(frozen=True, slots=True)
class DecidedCall:
    """One tool call as recorded, with its decision as far as it is possible without earlier results."""

    line: str
    name: str
    arguments: Json = field(repr=False)
    decision: Allowed | Refused

    def depends(self, compiled: CompiledSet) -> bool:
        """Whether earlier results can change the decision."""
        return isinstance(self.decision, Allowed) and any(
            one.after != "allow"
            or any(isinstance(check, ResultCheck) for check in (one.arguments or {}).values())
            for one in compiled.by_tool.get(self.name, ())
        )

    def after(self, compiled: CompiledSet, seen: Seen) -> Allowed | Refused:
        """Return the decision for a grant with these earlier results.

        It never allows more than the decision without them.
        """
        if isinstance(self.decision, Refused):
            return self.decision
        return decide_call(compiled, self.name, self.arguments, seen)

    def asked(self, compiled: CompiledSet) -> frozenset[Value]:
        """Return the values of fields that the decision depends on."""
        given = _given(compiled, self.name, self.arguments)
        return frozenset(value for check, one in given for value in check.asked(one))


def _given(compiled: CompiledSet, name: str, arguments: Json) -> Iterator[tuple[ResultCheck, Json]]:
    for one in compiled.by_tool.get(name, ()):
        limited = one.arguments or {}
        if any(isinstance(check, ResultCheck) for check in limited.values()):
            with suppress(ValueRefused):
                for key, value in leaves(arguments, limited):  # type: ignore[arg-type]  # only the names
                    check = limited.get(key)
                    if isinstance(check, ResultCheck):
                        yield check, value


def decided(compiled: CompiledSet, name: str, arguments: Json) -> DecidedCall:
    """Decide a call as far as possible without earlier results."""
    return DecidedCall(line_of(name, arguments), name, arguments, decide_call(compiled, name, arguments))


def line_of(name: str, arguments: Json) -> str:
    """Return the canonical spelling of a call, which is recorded and which `decide` can parse."""
    return f"{name} {canonical_body(arguments)}"


def decide_call(
    compiled: CompiledSet, name: str, arguments: Json, seen: Seen | None = None
) -> Allowed | Refused:
    """Decide whether a tool may be called with these parsed JSON arguments. Never raises because of their
    content.

    Without ``seen``, every value counts as returned and no untrusted result as read; ``notes`` say so.
    """
    if name != READ and TOOL_NAME.fullmatch(name.removeprefix(PROMPT)) is None:
        return Refused(f"{clip(name)} is not a tool name", None, "syntax")
    if not isinstance(arguments, Mapping):
        return Refused("the arguments must be a JSON object", None, "syntax")
    if name.startswith(PROMPT) and not all(isinstance(value, str) for value in arguments.values()):
        return Refused("the arguments of a prompt must be text", None, "syntax")
    for one in compiled.denies:
        if _is_denied(one, name, arguments):
            return Refused(f"{clip(one.name)} is explicitly denied", None, "denied")
    fitting = [
        answer
        for one in compiled.by_tool.get(name, ())
        if (answer := _answer(compiled, one, arguments, seen))
    ]
    for answer in fitting:
        if isinstance(answer, Refused):
            return answer
    allowed = [answer for answer in fitting if isinstance(answer, Allowed)]
    if allowed:
        places = {one.index: at for at, one in enumerate(compiled.by_tool[name])}
        found = min(allowed, key=lambda one: (not one.hold, EFFECT_RANK[one.effect], places[one.index]))
        return replace(found, untrusted=any(one.untrusted for one in allowed))
    return _explain(compiled, name, arguments, seen)


@dataclass(slots=True)
class _Found:
    """The facts found while a call was compared with a command."""

    matched: dict[str, str] = field(default_factory=dict)
    values: dict[str, Json] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    held: bool = False


def _answer(
    compiled: CompiledSet, one: CompiledToolCommand, arguments: Json, seen: Seen | None
) -> Allowed | Refused | None:
    """Return the decision of one command; None if the call does not match the command."""
    found = _Found(held=one.held)
    if next(_faults(one, arguments, found, seen), None) is not None:
        return None
    try:
        amounts = amounts_in(one.rule, found.values)
    except AmountRefused as error:
        return Refused(f"the argument {error}", one.text, "value")
    if one.after != "allow" and seen is not None and seen.untrusted is not None:
        source = f"run {seen.untrusted.run} of {seen.untrusted.tool}, which is untrusted"
        if one.after == "refuse":
            return Refused(f"{clip(one.name)} is not allowed after {source}", None, "untrusted")
        found.held = True
        found.notes.append(f"held after {source}")
    elif one.after != "allow" and seen is None and compiled.untrusted:
        outcome = "held" if one.after == "hold" else "refused"
        found.notes.append(f"{outcome} after an untrusted result, which can't be tested here")
    return Allowed(
        one.index,
        one.rule.effect,
        found.held,
        None,
        found.matched,
        (one.name, canonical_body(arguments)),
        notes=tuple(dict.fromkeys(found.notes)),
        untrusted=one.untrusted or one.name in compiled.untrusted,
        amounts=amounts,
    )


def _faults(
    one: CompiledToolCommand, arguments: Json, found: _Found, seen: Seen | None = None
) -> Iterator[str]:
    limited = one.arguments or {}
    given = set()
    try:
        for name, value in leaves(arguments, limited):  # type: ignore[arg-type]  # only the names are used
            given.add(name)
            found.values[name] = value
            if name not in limited:
                yield f"the argument {clip(name)} is not allowed"
                continue
            check = limited[name]
            if fault := check.fault(value, found.matched):
                yield f"the argument {clip(name)}: {fault}"
            elif isinstance(check, ResultCheck):
                yield from _unreturned(name, check, value, found, seen)
    except ValueRefused as error:
        yield f"one of the arguments {error}"
    yield from (
        f"the argument {clip(name)} is required"
        for name in limited
        if name not in given and name not in one.optional
    )


def _unreturned(
    name: str, check: ResultCheck, value: Json, found: _Found, seen: Seen | None
) -> Iterator[str]:
    """Yield why a value can't be used, and note where it came from if it can."""
    if seen is None:
        found.notes.append(f"{name} is from an earlier result, which can't be tested here")
        return
    for origin in check.origins(value, seen):
        if isinstance(origin, str):
            yield f"the argument {clip(name)}: {origin}"
        elif origin.source is None:
            found.held = True
            found.notes.append(f"{name} {clip(origin.value)} is not from an earlier result")
        else:
            found.notes.append(say_source(ValueSource(name, str(origin.source), origin.run or 0)))


def _is_denied(one: CompiledToolCommand, name: str, arguments: Json) -> bool:
    """Whether a deny matches. Returns True if in doubt."""
    if one.pattern.fullmatch(name) is None:
        return False
    if one.arguments is None:
        return True
    try:
        given = dict(leaves(arguments, one.arguments))  # type: ignore[arg-type]
    except ValueRefused:
        return True
    matched: dict[str, str] = {}
    return all(key in given and not check.fault(given[key], matched) for key, check in one.arguments.items())


def _explain(compiled: CompiledSet, name: str, arguments: Json, seen: Seen | None) -> Refused:
    """Explain why nothing matches: the first difference from the nearest call."""
    for one in compiled.left_out:
        if one.name == name and next(_faults(one, arguments, _Found()), None) is None:
            return Refused("the approvers excluded this call from the grant", None, "left_out")
    same = compiled.by_tool.get(name)
    for one in same or ():
        if seen is not None and next(_faults(one, arguments, _Found()), None) is None:
            return Refused(next(_faults(one, arguments, _Found(), seen)), one.text, "from_result")
    if same:
        return Refused(next(_faults(same[0], arguments, _Found(), seen)), same[0].text, "value")
    if not compiled.by_tool:
        return Refused("nothing is allowed: the list of tools is empty", None, "empty")
    nearest = max(compiled.by_tool, key=lambda known: (_likeness(known, name), known))
    what = "not allowed" if ":" in name else "not one of the allowed tools"
    return Refused(f"{clip(name)} is {what}", compiled.by_tool[nearest][0].text, "tool")


def _likeness(known: str, name: str) -> int:
    """Return the number of parts that the two names share."""
    ours, theirs = (set(re.split(r"[_./:-]", text.lower())) for text in (known, name))
    return len(ours & theirs)


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the calls of a grant in document order, with bound values and the values that are free at each
    call.
    """
    return [_view(compiled, one) for one in compiled.commands]


def _view(compiled: CompiledSet, one: CompiledToolCommand) -> CommandView:
    limited = one.arguments or {}
    named = {check.name: check.type for check in limited.values() if isinstance(check, Typed) and check.name}
    return CommandView(
        index=one.index,
        text=one.text,
        effect=one.rule.effect,
        hold=one.held,
        free=tuple(free_parameter(name, type_) for name, type_ in named.items()),
        detail=tuple(_detail(compiled, one)),
        denies=isinstance(one.rule, MCPDeny),
    )


def _detail(compiled: CompiledSet, one: CompiledToolCommand) -> Iterator[str]:
    for name, check in (one.arguments or {}).items():
        left = " (optional)" if name in one.optional else ""
        yield f"{name}: {check.limits}{left}{_of_sink(one, name)}"
    if isinstance(one.rule, MCPDeny) and one.arguments is None:
        yield "with any arguments"
    if one.untrusted:
        yield "results can contain text from outsiders"
    if compiled.untrusted and one.after != "allow":
        outcome = "held" if one.after == "hold" else "refused"
        yield f"{outcome} after a result of {', '.join(sorted(compiled.untrusted))}"
    yield from say_budgets(budget_of(one.rule))


def _of_sink(one: CompiledToolCommand, name: str) -> str:
    """Return the information about a sink for approvers, as the end of a line; empty for other arguments."""
    if not isinstance(one.rule, MCPTool) or name not in (*one.rule.sinks, *one.rule.free_sinks):
        return ""
    if reason := one.rule.free_sinks.get(name):
        return f"; decides what it affects, and is chosen freely: {reason}"
    return "; decides what it affects" + (", so each call is held" if one.held else "")
