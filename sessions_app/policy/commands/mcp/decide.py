"""Tool calls: the only function that decides for the gateway, the tester, the API and the pages.

If several commands match, the strictest decides: denied before held, held before allowed, destructive before
change before read. Denies match broadly (any letter case and spelling of a value, and if in doubt); allows
match exactly.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import Allowed, CommandView, Refused, free_parameter
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.json_values.bodies import BodyRefused, Json, canonical_body, read_body
from sessions_app.policy.commands.json_values.checks import Check, Exact, Typed, leaves
from sessions_app.policy.commands.json_values.placeholders import placeholder_in
from sessions_app.policy.commands.mcp.document import TOOL_NAME, MCPCall, MCPCommandSet, MCPDeny
from sessions_app.policy.commands.mcp.shapes import ShapeCheck, Shaped
from sessions_app.policy.commands.mcp.sinks import loose_sinks
from sessions_app.policy.commands.parameters import Int, ParameterType, ValueRefused

AnyCheck = Check | ShapeCheck


@dataclass(frozen=True, slots=True)
class CompiledToolCommand(answers.CompiledCommand):
    """One call of a compiled set. ``loose`` are free sinks without a reason, which are held."""

    rule: MCPCall | MCPDeny
    arguments: Mapping[str, AnyCheck] | None  # None: a deny of any arguments
    optional: frozenset[str]
    loose: tuple[str, ...]
    pattern: re.Pattern[str] = field(repr=False)

    @property
    def held(self) -> bool:
        """Whether each call needs approval."""
        return self.rule.held or bool(self.loose)

    @property
    def strictness(self) -> tuple[bool, int, int]:
        return (not self.held, EFFECT_RANK[self.rule.effect], self.index)

    @property
    def name(self) -> str:
        return self.rule.tool if isinstance(self.rule, MCPCall) else self.rule.deny

    @property
    def text(self) -> str:
        """The call as written, with values in place. An ellipsis stands for values without a name."""
        if not self.arguments:
            return self.name
        inside = ", ".join(f'"{name}": {_shown(check)}' for name, check in self.arguments.items())
        return f"{self.name} {{{inside}}}"


def _shown(check: AnyCheck) -> str:
    if isinstance(check, Exact):
        return canonical_body(check.value)
    return f"{{{check.name}}}" if isinstance(check, Typed) and check.name else "…"


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The tools of one grant, compiled for `decide_call`."""

    commands: tuple[CompiledToolCommand, ...]
    left_out: tuple[CompiledToolCommand, ...]
    denies: tuple[CompiledToolCommand, ...] = field(repr=False)
    by_tool: Mapping[str, tuple[CompiledToolCommand, ...]] = field(repr=False)

    @property
    def tools(self) -> frozenset[str]:
        """The names of the tools with at least one allowed call."""
        return frozenset(self.by_tool)


def compile_set(
    document: MCPCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the calls with the grant's values in place. `keep` are the indices that the approvers kept
    (None: all).

    Denied calls stay denied, whether or not they were kept. Raises CompileError.
    """
    check_kept(document, keep)
    return _compile(document, bind(document, bindings), keep)


def compile_open(document: MCPCommandSet) -> CompiledSet:
    """Return the set with no values bound.

    Parameters are free within their types, so it allows whatever any grant could.
    """
    return _compile(document, {}, None)


def _compile(document: MCPCommandSet, bound: Mapping[str, str], keep: Collection[int] | None) -> CompiledSet:
    every = [_compile_rule(document, index, rule, bound) for index, rule in enumerate(document.commands)]
    kept = tuple(one for one in every if keep is None or one.index in keep or isinstance(one.rule, MCPDeny))
    by_tool: dict[str, tuple[CompiledToolCommand, ...]] = {}
    allows = (one for one in kept if isinstance(one.rule, MCPCall))
    for one in sorted(allows, key=lambda one: one.strictness):
        by_tool[one.name] = (*by_tool.get(one.name, ()), one)
    return CompiledSet(
        kind="mcp",
        name=document.name,
        bindings=dict(bound),
        commands=kept,
        left_out=tuple(one for one in every if one not in kept),
        denies=tuple(one for one in kept if isinstance(one.rule, MCPDeny)),
        by_tool=by_tool,
    )


def _compile_rule(
    document: MCPCommandSet, index: int, rule: MCPCall | MCPDeny, bound: Mapping[str, str]
) -> CompiledToolCommand:
    deny = isinstance(rule, MCPDeny)

    def resolve(value: Json) -> Check:
        name = placeholder_in(value)
        if name is None:
            return Exact(value, deny)
        type_ = document.type_of(rule, name)
        if name not in bound:
            return Typed(type_, name, broad=deny)
        # Numbers are bound as numbers, and everything else as text.
        return Exact(int(bound[name]) if isinstance(type_, Int) else bound[name], deny)

    def check(value: object) -> AnyCheck:
        if isinstance(value, Shaped):
            return ShapeCheck(value.shape, resolve, deny)
        if isinstance(value, ParameterType):
            return Typed(value, broad=deny)
        return resolve(value)  # type: ignore[arg-type]  # otherwise the document contains scalars

    limited = (
        None if deny and rule.arguments is None else {name: check(one) for name, one in rule.limited.items()}
    )
    return CompiledToolCommand(
        index,
        rule,
        limited,
        frozenset() if isinstance(rule, MCPDeny) else frozenset(rule.optional),
        () if isinstance(rule, MCPDeny) else loose_sinks(document, rule),
        _pattern(rule.deny if isinstance(rule, MCPDeny) else rule.tool),
    )


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, name.split("*"))), re.IGNORECASE)


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
    """One tool call as recorded, with its decision. It is decided once and then forwarded."""

    line: str
    decision: Allowed | Refused


def decided(compiled: CompiledSet, name: str, arguments: Json) -> DecidedCall:
    """Decide a call once, and return the decision for every later use."""
    return DecidedCall(line_of(name, arguments), decide_call(compiled, name, arguments))


def line_of(name: str, arguments: Json) -> str:
    """Return the canonical spelling of a call, which is recorded and which `decide` can parse."""
    return f"{name} {canonical_body(arguments)}"


def decide_call(compiled: CompiledSet, name: str, arguments: Json) -> Allowed | Refused:
    """Decide whether a tool may be called with these parsed JSON arguments. Never raises because of their
    content.
    """
    if TOOL_NAME.fullmatch(name) is None:
        return Refused(f"{clip(name)} is not a tool name", None, "syntax")
    if not isinstance(arguments, Mapping):
        return Refused("the arguments must be a JSON object", None, "syntax")
    for one in compiled.denies:
        if _is_denied(one, name, arguments):
            return Refused(f"{clip(one.name)} is explicitly denied", None, "denied")
    for one in compiled.by_tool.get(name, ()):
        matched: dict[str, str] = {}
        if next(_faults(one, arguments, matched), None) is None:
            return Allowed(
                one.index, one.rule.effect, one.held, None, matched, (name, canonical_body(arguments))
            )
    return _explain(compiled, name, arguments)


def _faults(one: CompiledToolCommand, arguments: Json, matched: dict[str, str]) -> Iterator[str]:
    limited = one.arguments or {}
    seen = set()
    try:
        for name, value in leaves(arguments, limited):  # type: ignore[arg-type]  # only the names are used
            seen.add(name)
            if name not in limited:
                yield f"the argument {clip(name)} is not allowed"
            elif fault := limited[name].fault(value, matched):
                yield f"the argument {clip(name)}: {fault}"
    except ValueRefused as error:
        yield f"one of the arguments {error}"
    yield from (
        f"the argument {clip(name)} is required"
        for name in limited
        if name not in seen and name not in one.optional
    )


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


def _explain(compiled: CompiledSet, name: str, arguments: Json) -> Refused:
    """Explain why nothing matches: the first difference from the nearest call."""
    for one in compiled.left_out:
        if one.name == name and next(_faults(one, arguments, {}), None) is None:
            return Refused("the approvers excluded this call from the grant", None, "left_out")
    same = compiled.by_tool.get(name)
    if same:
        return Refused(next(_faults(same[0], arguments, {})), same[0].text, "value")
    if not compiled.by_tool:
        return Refused("nothing is allowed here: the list of tools is empty", None, "empty")
    nearest = max(compiled.by_tool, key=lambda known: (_likeness(known, name), known))
    return Refused(
        f"{clip(name)} is not one of the tools allowed here", compiled.by_tool[nearest][0].text, "tool"
    )


def _likeness(known: str, name: str) -> int:
    """Return the number of parts that the two names share."""
    ours, theirs = (set(re.split(r"[_./-]", text.lower())) for text in (known, name))
    return len(ours & theirs)


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the calls of a grant in document order, with bound values and the values that are free at each
    call.
    """
    return [_view(one) for one in compiled.commands]


def _view(one: CompiledToolCommand) -> CommandView:
    limited = one.arguments or {}
    named = {check.name: check.type for check in limited.values() if isinstance(check, Typed) and check.name}
    return CommandView(
        index=one.index,
        text=one.text,
        effect=one.rule.effect,
        hold=one.held,
        free=tuple(free_parameter(name, type_) for name, type_ in named.items()),
        detail=tuple(_detail(one)),
        denies=isinstance(one.rule, MCPDeny),
    )


def _detail(one: CompiledToolCommand) -> Iterator[str]:
    for name, check in (one.arguments or {}).items():
        left = " (optional)" if name in one.optional else ""
        yield f"{name}: {check.limits}{left}{_of_sink(one, name)}"
    if isinstance(one.rule, MCPDeny) and one.arguments is None:
        yield "with any arguments"


def _of_sink(one: CompiledToolCommand, name: str) -> str:
    """Return what an approver must know about a sink, as the end of a line; empty for other arguments."""
    if isinstance(one.rule, MCPDeny) or name not in (*one.rule.sinks, *one.rule.free_sinks):
        return ""
    if reason := one.rule.free_sinks.get(name):
        return f"; decides what it affects, and is chosen freely: {reason}"
    return "; decides what it affects" + (", so each call is held" if one.held else "")
