"""Compile a command set for MCP: bind a grant's values, and index its calls by tool."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.json_values.bodies import Json, canonical_body
from sessions_app.policy.commands.json_values.checks import Check, Exact, Typed
from sessions_app.policy.commands.json_values.placeholders import placeholder_in
from sessions_app.policy.commands.mcp.document import (
    PROMPT,
    READ,
    AfterUntrusted,
    Allow,
    MCPAllow,
    MCPCommandSet,
    MCPDeny,
    MCPPrompt,
    MCPResource,
    MCPTool,
)
from sessions_app.policy.commands.mcp.results import FromResult, ResultCheck, ResultField, field_of
from sessions_app.policy.commands.mcp.shapes import ShapeCheck, Shaped
from sessions_app.policy.commands.mcp.sinks import loose_sinks, unmarked
from sessions_app.policy.commands.mcp.uris import Template, URICheck, check_of
from sessions_app.policy.commands.parameters import Int, ParameterType

AnyCheck = Check | ShapeCheck | ResultCheck | URICheck


@dataclass(frozen=True, slots=True)
class CompiledToolCommand(answers.CompiledCommand):
    """One call of a compiled set.

    ``loose`` are free sinks without a reason, which are held. ``unmarked`` are other arguments that the
    holder chooses at each call, without approval. ``after`` is what happens to the call after an
    untrusted result.
    """

    rule: Allow | MCPDeny
    arguments: Mapping[str, AnyCheck] | None  # None for a deny that matches any arguments
    optional: frozenset[str]
    loose: tuple[str, ...]
    unmarked: tuple[str, ...]
    after: AfterUntrusted
    pattern: re.Pattern[str] = field(repr=False)

    @property
    def held(self) -> bool:
        """Whether each call needs approval."""
        return isinstance(self.rule, MCPAllow) and (self.rule.hold or bool(self.loose))

    @property
    def strictness(self) -> tuple[bool, int, bool, int]:
        return (not self.held, EFFECT_RANK[self.rule.effect], not answers.budget_of(self.rule), self.index)

    @property
    def name(self) -> str:
        return self.rule.name if isinstance(self.rule, MCPAllow) else self.rule.deny

    @property
    def untrusted(self) -> bool:
        """Whether its results can contain text from outsiders."""
        return isinstance(self.rule, MCPAllow) and self.rule.untrusted

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
    if isinstance(check, ResultCheck):
        return f"{{{'|'.join(map(str, check.fields))}}}"
    if isinstance(check, URICheck):
        return canonical_body(check.limits)
    return f"{{{check.name}}}" if isinstance(check, Typed) and check.name else "…"


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The calls of one grant, compiled for `decide_call`, by name. ``untrusted`` are the sources of untrusted
    results.
    """

    commands: tuple[CompiledToolCommand, ...]
    left_out: tuple[CompiledToolCommand, ...]
    denies: tuple[CompiledToolCommand, ...] = field(repr=False)
    by_tool: Mapping[str, tuple[CompiledToolCommand, ...]] = field(repr=False)
    untrusted: frozenset[str]

    @property
    def fields(self) -> Mapping[str, frozenset[ResultField]]:
        """The fields of results that arguments can come from, by tool."""
        found: dict[str, frozenset[ResultField]] = {}
        for source in self._sources():
            found[source.tool] = found.get(source.tool, frozenset()) | {source}
        return found

    def _sources(self) -> Iterator[ResultField]:
        for one in self.commands:
            for check in (one.arguments or {}).values():
                if isinstance(check, ResultCheck):
                    yield from check.fields

    @property
    def tools(self) -> frozenset[str]:
        """The names of the tools with at least one allowed call."""
        return frozenset(name for name in self.by_tool if ":" not in name)

    @property
    def prompts(self) -> frozenset[str]:
        """The names of the prompts with at least one allowed call."""
        return frozenset(name.removeprefix(PROMPT) for name in self.by_tool if name.startswith(PROMPT))

    @property
    def resources(self) -> tuple[CompiledToolCommand, ...]:
        """The commands that allow resources to be read."""
        return self.by_tool.get(READ, ())

    @property
    def uris(self) -> tuple[URICheck, ...]:
        """The URIs of the resources that can be read."""
        limits = (one.arguments or {} for one in self.resources)
        return tuple(check for one in limits for check in one.values() if isinstance(check, URICheck))


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

    Parameters are free within their types, so the set allows everything that any grant of it could allow.
    """
    return _compile(document, {}, None)


def _compile(document: MCPCommandSet, bound: Mapping[str, str], keep: Collection[int] | None) -> CompiledSet:
    every = [_compile_rule(document, index, rule, bound) for index, rule in enumerate(document.commands)]
    kept = tuple(one for one in every if keep is None or one.index in keep or isinstance(one.rule, MCPDeny))
    by_tool: dict[str, tuple[CompiledToolCommand, ...]] = {}
    allows = (one for one in kept if isinstance(one.rule, MCPAllow))
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
        untrusted=document.untrusted,
        budget=document.budget,
    )


def _compile_rule(
    document: MCPCommandSet, index: int, rule: Allow | MCPDeny, bound: Mapping[str, str]
) -> CompiledToolCommand:
    deny = isinstance(rule, MCPDeny)
    text = isinstance(rule, MCPPrompt | MCPResource)

    def resolve(value: Json) -> Check:
        name = placeholder_in(value)
        if name is None:
            return Exact(value, deny)
        type_ = document.type_of(rule, name)
        if name not in bound:
            return Typed(type_, name, query=text and isinstance(type_, Int), broad=deny)
        # Numbers are bound as numbers, and everything else as text.
        return Exact(int(bound[name]) if isinstance(type_, Int) and not text else bound[name], deny)

    def check(value: object) -> AnyCheck:
        if isinstance(value, Shaped):
            return ShapeCheck(value.shape, resolve, deny)
        if isinstance(value, FromResult):
            return _result_check(document, value)
        if isinstance(value, Template):
            return check_of(value, lambda name: resolve(f"{{{name}}}"))
        if isinstance(value, ParameterType):
            return Typed(value, query=text and isinstance(value, Int), broad=deny)
        return resolve(value)  # type: ignore[arg-type]  # otherwise the document contains scalars

    limited = (
        None
        if isinstance(rule, MCPDeny) and rule.arguments is None
        else {name: check(one) for name, one in rule.limited.items()}
    )
    return CompiledToolCommand(
        index,
        rule,
        limited,
        frozenset(getattr(rule, "optional", ())),
        loose_sinks(document, rule) if isinstance(rule, MCPTool) else (),
        tuple(unmarked(document, rule)) if isinstance(rule, MCPTool) and not rule.hold else (),
        document.after(rule),
        _pattern(rule.deny if isinstance(rule, MCPDeny) else rule.name),
    )


def _result_check(document: MCPCommandSet, value: FromResult) -> ResultCheck:
    found = (field_of(path, document.returning) for path in value.paths)
    fields = tuple(dict.fromkeys(one for one in found if one is not None))
    return ResultCheck(fields, value.most, Typed(value.others) if value.others is not None else None)


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, name.split("*"))), re.IGNORECASE)
