"""The requests of one grant, compiled once: path patterns, and a check for each limited value."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import CompileError
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import EFFECT_RANK, RuleRefused
from sessions_app.policy.commands.http.document import (
    Constraint,
    ContentKind,
    HTTPCommandSet,
    HTTPDeny,
    HTTPRequest,
    Rule,
)
from sessions_app.policy.commands.http.headers import one_spelling
from sessions_app.policy.commands.http.targets import read_target
from sessions_app.policy.commands.http.templates import Template, pattern_of
from sessions_app.policy.commands.json_values.checks import Check, Exact, Typed
from sessions_app.policy.commands.json_values.placeholders import placeholder_in
from sessions_app.policy.commands.parameters import Int, ParameterType, PathBelow
from sessions_app.policy.documents import Problem


@dataclass(frozen=True, slots=True)
class CompiledHTTPCommand(answers.CompiledCommand):
    """One request with its bound values in place.

    ``checks`` has the checks for query, body, form and headers, by name.
    """

    rule: HTTPRequest | HTTPDeny
    template: Template
    pattern: re.Pattern[str] = field(repr=False)
    types: Mapping[str, ParameterType]  # the types of the placeholders in the path that have no bound value
    query: Mapping[str, Check]
    body: Mapping[str, Check] | None
    form: Mapping[str, Check]
    headers: Mapping[str, Check]
    optional: frozenset[str]
    text: str
    plain: bool  # only the path matters for the decision

    @property
    def strictness(self) -> tuple[bool, int, bool, int]:
        """The sort key. The command with the lowest key decides."""
        rule = self.rule
        return (not rule.held, EFFECT_RANK[rule.effect], not answers.budget_of(rule), self.index)

    @property
    def allows(self) -> HTTPRequest | None:
        """Return the rule if it allows requests; None if it denies them."""
        return self.rule if isinstance(self.rule, HTTPRequest) else None

    @property
    def content(self) -> ContentKind:
        """The kind of body that the command allows."""
        return self.allows.content if self.allows else "none"

    @property
    def streams(self) -> bool:
        """Whether the response can be a stream."""
        return self.allows is not None and self.allows.stream

    @property
    def websockets(self) -> bool:
        """Whether the command can open a WebSocket."""
        return self.allows is not None and self.allows.websocket

    @property
    def deep(self) -> bool:
        """Whether the command accepts paths of any length."""
        return any(isinstance(type_, PathBelow) for type_ in self.types.values())


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The requests of one grant, compiled for `decide_request`."""

    commands: tuple[CompiledHTTPCommand, ...]
    left_out: tuple[CompiledHTTPCommand, ...]
    denies: tuple[CompiledHTTPCommand, ...] = field(repr=False)
    by_shape: Mapping[tuple[str, int], tuple[CompiledHTTPCommand, ...]] = field(repr=False)
    deep: tuple[CompiledHTTPCommand, ...] = field(repr=False)

    def unenforced(self, connection: Mapping[str, object]) -> str | None:
        """Return, as a clause, why the cluster's proxy can't enforce a request of the set; None if it can."""
        if self.budget and connection.get("proxy") != "stint":
            return "has a budget, which only Stint's own gateway can count: set proxy: stint, or remove it"
        faults = (unenforced(one.allows, connection) for one in self.commands if one.allows is not None)
        return next((fault for fault in faults if fault), None)


def unenforced(rule: HTTPRequest, connection: Mapping[str, object]) -> str | None:
    """Return, as a clause, what a cluster with this connection can't enforce of a rule; None if it can
    enforce everything.
    """
    if connection.get("proxy") == "stint":
        return _injected_too(rule, connection.get("inject"))
    if rule.needs_gateway:
        keys = " and ".join(rule.needs_gateway)
        return (
            f"has {keys} in {clip(rule.text)}, which only Stint's own gateway can enforce: set proxy: stint"
            f" in the cluster's connection, or remove {keys}"
        )
    return None


def _injected_too(rule: HTTPRequest, inject: object) -> str | None:
    """Return, as a clause, which header or parameter with the cluster's credential a rule lets the holder
    set; None if there is none.
    """
    said = inject if isinstance(inject, Mapping) else {}
    header, query = one_spelling(str(said.get("header", ""))), said.get("query")
    in_headers = next((name for name in rule.headers if one_spelling(name) == header), None)
    if in_headers or query in rule.query:
        name = in_headers or query
        return (
            f"lets the holder set {name} in {clip(rule.text)}, where the cluster injects its credential: "
            "remove it"
        )
    return None


def compile_set(
    document: HTTPCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the requests with the grant's values in place. `keep` are the indices that the approvers kept
    (None: all).

    Denied requests stay denied, whether or not they were kept. Raises CompileError for a missing, unknown or
    refused value, and for an index that the set does not have.
    """
    check_kept(document, keep)
    bound = bind(document, bindings)
    _check_values(document, bound)
    return _compile(document, bound, keep)


def compile_open(document: HTTPCommandSet) -> CompiledSet:
    """Return the set with no values bound.

    Parameters are free within their types, so the set allows everything that any grant could allow.
    """
    return _compile(document, {}, None)


def _check_values(document: HTTPCommandSet, bound: Mapping[str, str]) -> None:
    """Check the bound values in paths: no slash unless the type is `path`, and only characters that a request
    can contain.
    """
    problems = [
        Problem(f"parameters.{name}", f"{clip(bound[name])} can't be used in a path: {fault}")
        for name in dict.fromkeys(name for rule in document.commands for name in rule.template().names)
        if name in bound and (fault := _value_fault(document.parameters[name], bound[name]))
    ]
    if problems:
        raise CompileError(problems)


def _value_fault(type_: ParameterType, value: str) -> str | None:
    if not isinstance(type_, PathBelow) and "/" in value:
        return "it contains a “/”"
    try:
        read_target(value if isinstance(type_, PathBelow) else "/" + _escaped(value))
    except RuleRefused as error:
        return error.reason
    return None


def _escaped(value: str) -> str:
    return "".join(
        char if char.isascii() and char != " " else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in value
    )


def _compile(document: HTTPCommandSet, bound: Mapping[str, str], keep: Collection[int] | None) -> CompiledSet:
    every = [_compile_rule(document, index, rule, bound) for index, rule in enumerate(document.commands)]
    kept = tuple(one for one in every if keep is None or one.index in keep or isinstance(one.rule, HTTPDeny))
    allows = sorted(
        (one for one in kept if isinstance(one.rule, HTTPRequest)), key=lambda one: one.strictness
    )
    by_shape: dict[tuple[str, int], tuple[CompiledHTTPCommand, ...]] = {}
    for one in allows:
        if not one.deep:
            key = (one.template.method, sum(p.count("/") for p in one.template.pieces if isinstance(p, str)))
            by_shape[key] = (*by_shape.get(key, ()), one)
    return CompiledSet(
        kind="http",
        name=document.name,
        bindings=dict(bound),
        commands=kept,
        left_out=tuple(one for one in every if one not in kept),
        denies=tuple(one for one in kept if isinstance(one.rule, HTTPDeny)),
        by_shape=by_shape,
        deep=tuple(one for one in allows if one.deep),
        budget=document.budget,
    )


def _compile_rule(
    document: HTTPCommandSet, index: int, rule: Rule, bound: Mapping[str, str]
) -> CompiledHTTPCommand:
    template = rule.template()
    types = {name: document.type_of(rule, name) for name in template.names}
    deny = isinstance(rule, HTTPDeny)
    checks = {
        where: {name: _check(document, rule, value, where, bound) for name, value in among.items()}
        for where, among in rule.limited
    }
    free = {name: type_ for name, type_ in types.items() if name not in bound}
    needs = rule.needs_gateway if isinstance(rule, HTTPRequest) else ()
    return CompiledHTTPCommand(
        index,
        rule,
        template,
        pattern_of(template, bound, types, broad=deny),
        free,
        checks["query"],
        None if rule.body is None else checks["body"],
        checks.get("form", {}),
        checks.get("headers", {}),
        frozenset() if isinstance(rule, HTTPDeny) else frozenset(rule.optional),
        _text_of(template, bound),
        not (free or rule.query or needs or rule.body is not None),
    )


def _check(
    document: HTTPCommandSet, rule: Rule, value: Constraint, where: str, bound: Mapping[str, str]
) -> Check:
    """Return the check for one value.

    Only a JSON body can contain values other than text. Text in a body or a form is free: it can be empty or
    have several lines.
    """
    deny, text = isinstance(rule, HTTPDeny), where != "body"
    name = None if isinstance(value, ParameterType) else placeholder_in(value)
    if not isinstance(value, ParameterType) and name is None:
        return Exact(str(value) if text else value, deny)
    type_ = value if isinstance(value, ParameterType) else document.type_of(rule, str(name))
    if name is not None and name in bound:
        # In a JSON body, a number is bound as a number, and everything else as text.
        return Exact(int(bound[name]) if isinstance(type_, Int) and not text else bound[name], deny)
    word = text and (where != "form" or isinstance(type_, Int))
    return Typed(type_, name, word, deny)


def _text_of(template: Template, bound: Mapping[str, str]) -> str:
    pieces = (
        piece if isinstance(piece, str) else bound.get(piece.name, f"{{{piece.name}}}")
        for piece in template.pieces
    )
    return f"{template.method} {''.join(pieces)}"
