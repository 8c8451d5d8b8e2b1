"""Requests over HTTP: the one function that decides for the gateway, the tester, the API and the pages.

`compile_set` does the work once for a grant; `decide_request` then takes a request target to its one spelling and
compares it with each command. Where several commands fit, the strictest decides: denied before allowed, destructive
before change before read. Denies are read broadly (letters in any case, a slash more or less at the end), what is allowed
exactly.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import Allowed, CommandView, CompileError, Refused, free_parameter
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import EFFECT_RANK, RuleRefused
from sessions_app.policy.commands.http.bodies import BodyRefused, Json, canonical_body, read_body
from sessions_app.policy.commands.http.checks import Check, Exact, Typed, denies, leaves
from sessions_app.policy.commands.http.document import HTTPCommandSet, HTTPDeny, HTTPRequest
from sessions_app.policy.commands.http.targets import Target, read_target
from sessions_app.policy.commands.http.templates import ANY, Template, check_method, pattern_of, place_in
from sessions_app.policy.commands.parameters import Int, ParameterType, PathBelow, ValueRefused
from sessions_app.policy.documents import Problem


class Unseen:
    """Stands for a body that the door did not see."""


UNSEEN: Final = Unseen()
_GOES_ON = (
    "it requests an event stream (Accept: text/event-stream), which could continue after the grant ends; its command must "
    "have stream: true"
)


@dataclass(frozen=True, slots=True)
class Command(answers.CompiledCommand):
    """One request with the bound values in place."""

    rule: HTTPRequest | HTTPDeny
    template: Template
    pattern: re.Pattern[str] = field(repr=False)
    types: Mapping[str, ParameterType]  # of the places in the path that are free
    query: Mapping[str, Check]
    body: Mapping[str, Check] | None
    optional: frozenset[str]
    text: str

    @property
    def strictness(self) -> tuple[int, int]:
        """Lower decides."""
        return (EFFECT_RANK[self.rule.effect], self.index)

    @property
    def streams(self) -> bool:
        """Whether its answer may go on."""
        return isinstance(self.rule, HTTPRequest) and self.rule.stream

    @property
    def deep(self) -> bool:
        """Whether it takes paths of any length."""
        return any(isinstance(type_, PathBelow) for type_ in self.types.values())


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The requests of one grant, ready for `decide_request`."""

    commands: tuple[Command, ...]
    left_out: tuple[Command, ...]
    denies: tuple[Command, ...] = field(repr=False)
    by_shape: Mapping[tuple[str, int], tuple[Command, ...]] = field(repr=False)
    deep: tuple[Command, ...] = field(repr=False)


def compile_set(
    document: HTTPCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """The requests with the grant's values in place; `keep` are the indices that the approvers left in (None: all).

    What is denied stays denied, whether it was left in or not. Raises CompileError for a missing, unknown or refused
    value and for an index that the set does not have.
    """
    check_kept(document, keep)
    bound = bind(document, bindings)
    _check_values(document, bound)
    return _compile(document, bound, keep)


def compile_open(document: HTTPCommandSet) -> CompiledSet:
    """The set before any grant: its parameters are free inside their types, so it allows what some grant of it could."""
    return _compile(document, {}, None)


def _check_values(document: HTTPCommandSet, bound: Mapping[str, str]) -> None:
    """A value in a path is one part of it, spelled so that a request can hold it."""
    problems = [
        Problem(f"parameters.{name}", f"{clip(bound[name])} cannot stand in a path: {fault}")
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
    by_shape: dict[tuple[str, int], tuple[Command, ...]] = {}
    for one in allows:
        if not one.deep:
            key = (one.template.method, sum(p.count("/") for p in one.template.pieces if isinstance(p, str)))
            by_shape[key] = (*by_shape.get(key, ()), one)
    return CompiledSet(
        kind="http", name=document.name, bindings=dict(bound), commands=kept,
        left_out=tuple(one for one in every if one not in kept),
        denies=tuple(one for one in kept if isinstance(one.rule, HTTPDeny)),
        by_shape=by_shape, deep=tuple(one for one in allows if one.deep),
    )  # fmt: skip


def _compile_rule(
    document: HTTPCommandSet, index: int, rule: HTTPRequest | HTTPDeny, bound: Mapping[str, str]
) -> Command:
    template = rule.template()
    types = {name: document.type_of(rule, name) for name in template.names}

    def check(value: Json | ParameterType, *, query: bool) -> Check:
        if isinstance(value, ParameterType):
            return Typed(value, query=query)
        name = place_in(value)
        if name is None:
            return Exact(str(value) if query else value)
        type_ = document.type_of(rule, name)
        if name not in bound:
            return Typed(type_, name, query)
        return Exact(bound[name]) if query else _bound(type_, bound[name])

    query = {name: check(one, query=True) for name, one in rule.query.items()}
    body = None if rule.body is None else {name: check(one, query=False) for name, one in rule.body.items()}
    deny = isinstance(rule, HTTPDeny)
    return Command(
        index, rule, template, pattern_of(template, bound, types, broad=deny),
        {name: type_ for name, type_ in types.items() if name not in bound}, query, body,
        frozenset() if isinstance(rule, HTTPDeny) else frozenset(rule.optional), _text_of(template, bound),
    )  # fmt: skip


def _bound(type_: ParameterType, value: str) -> Check:
    """A bound number may stand in a body as a number alone, and any other value as text."""
    return Exact(int(value)) if isinstance(type_, Int) else Exact(value)


def _text_of(template: Template, bound: Mapping[str, str]) -> str:
    pieces = (
        piece if isinstance(piece, str) else bound.get(piece.name, f"{{{piece.name}}}")
        for piece in template.pieces
    )
    return f"{template.method} {''.join(pieces)}"


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Whether a request may be made, written as `GET /tickets/42` or `POST /tickets/42/close {"note": "done"}`."""
    method, _, rest = line.partition(" ")
    target, _, body = rest.partition(" ")
    at = hidden_at(line)
    if at is not None:
        return Refused(f"{show(line[at])} is not printable: remove it", None, "syntax")
    if not target:
        return Refused("write a method, one space and a path: GET /tickets/42", None, "syntax")
    try:
        return decide_request(compiled, method, target, read_body(body) if body else UNSEEN)
    except BodyRefused as error:
        return Refused(str(error), None, "syntax")


def decide_request(
    compiled: CompiledSet, method: str, target: str, body: Json | Unseen = UNSEEN, *, stream: bool = False
) -> Allowed | Refused:
    """Whether a request may be made. `target` is what stands in the request line; never raises for what it holds.

    ``stream``: it asks for an answer that goes on, which one of the commands that fit must allow.
    """
    try:
        asked = read_target(target)
        check_method(method)
    except RuleRefused as error:
        return Refused(error.reason, None, "syntax")
    for one in compiled.denies:
        if _is_denied(one, method, asked, body):
            return Refused(f"{clip(one.text)} is denied here", None, "denied")
    fits: Allowed | None = None
    for one in _candidates(compiled, method, asked.path):
        matched = _match(one, asked, body)
        if matched is None:
            continue
        if fits is None:
            seen = () if isinstance(body, Unseen) else (canonical_body(body),)
            fits = Allowed(one.index, one.rule.effect, False, None, matched, (method, target, *seen))
        if one.streams or not stream:
            return fits
    return _explain(compiled, method, asked, body) if fits is None else Refused(_GOES_ON, None, "stream")


def _candidates(compiled: CompiledSet, method: str, path: str) -> Iterable[Command]:
    near = compiled.by_shape.get((method, path.count("/")), ())
    if not compiled.deep:
        return near
    deep = (one for one in compiled.deep if one.template.method == method)
    return sorted((*near, *deep), key=lambda one: one.strictness)


def _match(one: Command, asked: Target, body: Json | Unseen) -> dict[str, str] | None:
    found = one.pattern.fullmatch(asked.path)
    if found is None:
        return None
    if not one.types and not one.query and not asked.query and one.body is None:
        return {}
    matched = found.groupdict()
    return None if next(_faults(one, asked, body, matched), None) else matched


def _faults(
    one: Command, asked: Target, body: Json | Unseen, matched: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """What of a request whose path fits does not do, with the code of it."""
    for name, type_ in one.types.items():
        try:
            type_.accept(matched[name])
        except ValueRefused as error:
            yield f"{name} {error}" if name not in str(error) else str(error), "value"
    for fault in _inside("the query", one.query, asked.query.items(), one.optional, matched):
        yield fault, "query"
    if one.body is not None:
        yield from ((fault, "body") for fault in _body_faults(one, body, matched))


def _body_faults(one: Command, body: Json | Unseen, matched: dict[str, str]) -> Iterator[str]:
    if isinstance(body, Unseen):
        yield "its rule checks the body, which this proxy integration does not send: use AuthZEN"
        return
    limited = one.body or {}
    try:
        found = list(leaves(body, limited))
    except ValueRefused as error:
        yield f"the body {error}"
        return
    yield from _inside("the body", limited, found, one.optional, matched)


def _inside(
    what: str,
    limited: Mapping[str, Check],
    given: Iterable[tuple[str, Json]],
    optional: frozenset[str],
    matched: dict[str, str],
) -> Iterator[str]:
    seen = set()
    for name, value in given:
        seen.add(name)
        check = limited.get(name)
        if check is None:
            yield f"{what} must not contain {clip(name)}"
        elif fault := check.fault(value, matched):
            yield f"{clip(name)} in {what}: {fault}"
    for name in limited:
        if name not in seen and name not in optional:
            yield f"{what} must contain {clip(name)}"


def _is_denied(one: Command, method: str, asked: Target, body: Json | Unseen) -> bool:
    """Whether a deny fits: in doubt, it does."""
    if one.template.method not in (ANY, method):
        return False
    found = one.pattern.fullmatch(asked.path)
    if found is None:
        return False
    matched = found.groupdict()
    if any(not _accepts_some_case(type_, matched[name]) for name, type_ in one.types.items()):
        return False
    if any(
        name not in asked.query or check.fault(asked.query[name], matched)
        for name, check in one.query.items()
    ):
        return False
    return one.body is None or isinstance(body, Unseen) or _body_denied(one.body, body, matched)


def _body_denied(limited: Mapping[str, Check], body: Json, matched: dict[str, str]) -> bool:
    try:
        given = dict(leaves(body, limited))
    except ValueRefused:
        return True
    return all(name in given and denies(check, given[name], matched) for name, check in limited.items())


def _accepts_some_case(type_: ParameterType, value: str) -> bool:
    for spelled in {value, value.lower(), value.upper()}:
        try:
            type_.accept(spelled)
        except ValueRefused:
            continue
        return True
    return False


def _explain(compiled: CompiledSet, method: str, asked: Target, body: Json | Unseen) -> Refused:
    """Why nothing fits: the first difference from the request that comes nearest."""
    if any(
        one.template.method == method and _match(one, asked, body) is not None for one in compiled.left_out
    ):
        return Refused("the approvers excluded this request from the grant", None, "left_out")
    allows = [one for one in compiled.commands if isinstance(one.rule, HTTPRequest)]
    if not allows:
        return Refused("nothing is allowed here: the list of requests is empty", None, "empty")
    for one in allows:
        found = one.pattern.fullmatch(asked.path)
        if found and one.template.method == method:
            reason, code = next(_faults(one, asked, body, found.groupdict()))
            return Refused(reason, one.text, code)
    same_path = [one for one in allows if one.pattern.fullmatch(asked.path)]
    if same_path:
        methods = ", ".join(dict.fromkeys(one.template.method for one in same_path))
        return Refused(
            f"{clip(method)} is not allowed on this path: {methods} is", same_path[0].text, "method"
        )
    nearest = max(allows, key=lambda one: (_likeness(one, method, asked.path), -one.index))
    return Refused(f"{clip(asked.path)} is not one of the paths allowed here", nearest.text, "path")


def _likeness(one: Command, method: str, path: str) -> float:
    """Parts of the path that are the same from the start on; the method counts half of one."""
    ours, theirs = one.text.partition(" ")[2].split("/"), path.split("/")
    same = 0
    for left, right in zip(ours, theirs, strict=False):
        if left != right and "{" not in left:
            break
        same += 1 + (left == right)
    return same - 0.5 * abs(len(ours) - len(theirs)) + (one.template.method == method)


def describe(compiled: CompiledSet) -> list[CommandView]:
    """The requests of a grant in the document's order, with bound values and what is free at each run."""
    return [_view(one) for one in compiled.commands]


def _view(one: Command) -> CommandView:
    named = {
        check.name: check.type
        for check in (*one.query.values(), *(one.body or {}).values())
        if isinstance(check, Typed) and check.name is not None
    }
    return CommandView(
        index=one.index,
        text=one.text,
        free=tuple(free_parameter(name, type_) for name, type_ in {**one.types, **named}.items()),
        effect=one.rule.effect,
        detail=tuple(_detail(one)),
        denies=isinstance(one.rule, HTTPDeny),
    )


def _detail(one: Command) -> Iterator[str]:
    inside: Sequence[tuple[str, Mapping[str, Check]]] = (("query", one.query), ("body", one.body or {}))
    for where, limited in inside:
        for name, check in limited.items():
            left = " (optional)" if name in one.optional else ""
            yield f"{where} {name}: {check.limits}{left}"
    if one.body is not None and not one.body:
        yield "body: an empty object"
    if one.streams:
        yield "can be answered by a stream that continues after the end"
