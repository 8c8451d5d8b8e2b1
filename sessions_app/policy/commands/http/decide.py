"""Requests over HTTP: the only function that decides for the gateways, the tester, the API and the pages.

`decide_request` converts a request target to its canonical form and compares it with each command of a
compiled set. If several commands match, the strictest decides: denied before allowed, held before not held,
destructive before change before read. Denies match broadly (any letter case and spelling of a value, with or
without a trailing slash); allows match exactly.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.budgets import AmountRefused
from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.http.compiling import CompiledHTTPCommand, CompiledSet
from sessions_app.policy.commands.http.contents import (
    UNSEEN,
    Absent,
    Content,
    Form,
    Unseen,
    Upload,
    read_words,
    words_of,
)
from sessions_app.policy.commands.http.fitting import carried_faults, faults_inside, undigested
from sessions_app.policy.commands.http.headers import is_method_field
from sessions_app.policy.commands.http.targets import Target, read_target
from sessions_app.policy.commands.http.templates import ANY, check_method
from sessions_app.policy.commands.json_values.bodies import BodyRefused
from sessions_app.policy.commands.json_values.checks import Check, leaves
from sessions_app.policy.commands.parameters import ValueRefused

_GOES_ON = (
    "it requests an event stream (Accept: text/event-stream), which could continue after the grant "
    "ends: its command must have stream: true"
)
_TALKS = "it opens a WebSocket: its command must have websocket: true"


@dataclass(slots=True)
class Allowed(answers.Allowed):
    """A request that may be made, with the command whose limits apply to the request and its response."""

    command: CompiledHTTPCommand = field(repr=False, compare=False)


@dataclass(frozen=True)
class Asked:
    """A request to decide.

    ``headers`` are by lowercase name. None means that the caller is not Stint's own gateway: only that
    gateway sees headers and can limit responses.
    """

    method: str
    target: Target
    body: Content
    headers: Mapping[str, str] | None
    stream: bool
    websocket: bool

    @property
    def path(self) -> str:
        """The path with all escapes decoded."""
        return self.target.path

    @cached_property
    def methods(self) -> frozenset[str]:
        """Return the request's method, and any method that frameworks take from its fields instead:
        `_method=DELETE`.
        """
        inside = self.body.fields if isinstance(self.body, Form) else self.body
        fields = [*self.target.query.items(), *(inside.items() if isinstance(inside, Mapping) else ())]
        return frozenset(
            (self.method, *(str(value).upper() for name, value in fields if is_method_field(name)))
        )


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide a request as Stint's own gateway would: `POST /tickets/42/close {"note": "done"}`.

    `contents` describes the notation for forms, uploads and headers.
    """
    method, _, rest = line.partition(" ")
    target, _, words = rest.partition(" ")
    at = hidden_at(line)
    if at is not None:
        return Refused(f"{show(line[at])} is not printable: remove it", None, "syntax")
    if not target:
        return Refused("write a method, one space and a path: GET /tickets/42", None, "syntax")
    try:
        headers, body = read_words(words)
    except BodyRefused as error:
        return Refused(str(error), None, "syntax")
    return decide_request(compiled, method, target, body, headers=headers)


def decide_request(
    compiled: CompiledSet,
    method: str,
    target: str,
    body: Content = UNSEEN,
    *,
    headers: Mapping[str, str] | None = None,
    stream: bool = False,
    websocket: bool = False,
) -> Allowed | Refused:
    """Decide whether a request may be made.

    `target` comes from the request line. No content of a request makes this function raise.

    ``headers`` are by lowercase name, from Stint's own gateway. None means that the caller is another proxy,
    for which rules that only the gateway can enforce are refused. ``stream`` and ``websocket``: the request
    asks for one, which one of the matching commands must allow.
    """
    try:
        asked = Asked(method, read_target(target), body, headers, stream, websocket)
        check_method(method)
    except RuleRefused as error:
        return Refused(error.reason, None, "syntax")
    for one in compiled.denies:
        if _is_denied(one, asked):
            return Refused(f"{clip(one.text)} is explicitly denied", None, "denied")
    first: CompiledHTTPCommand | None = None
    for one in candidates(compiled, method, asked.path):
        matched = _match(one, asked)
        if matched is None:
            continue
        if one.rule.held and (lacking := undigested(asked.body)):
            return Refused(lacking, one.text, "body")
        first = first or one
        if (one.streams or not stream) and (one.websockets or not websocket):
            return _allowed(compiled, one, first, matched, asked)
    if first is None:
        return _explain(compiled, asked)
    return Refused(_GOES_ON, None, "stream") if stream else Refused(_TALKS, None, "websocket")


def _allowed(
    compiled: CompiledSet,
    one: CompiledHTTPCommand,
    strictest: CompiledHTTPCommand,
    matched: Mapping[str, str],
    asked: Asked,
) -> Allowed | Refused:
    """Return the decision.

    The strictest of the matching commands sets the effect, even if another one allows more.
    """
    given = {name: value for name, value in (asked.headers or {}).items() if name in one.headers}
    words = (asked.method, asked.target.text, *words_of(asked.body, given))
    rule = strictest.rule
    if compiled.budget and asked.headers is None:
        return Refused("only Stint's own gateway (proxy: stint) can count its budget", one.text, "gateway")
    try:
        amounts = answers.amounts_in(one.rule, _values(compiled, one, matched, asked))
    except AmountRefused as error:
        return Refused(str(error), one.text, "value")
    return Allowed(one.index, rule.effect, rule.held, None, matched, words, one, amounts=amounts)


def _values(
    compiled: CompiledSet, one: CompiledHTTPCommand, matched: Mapping[str, str], asked: Asked
) -> dict[str, object]:
    """Return what budgets can add up, by name: keys of query, body and form, and parameters."""
    if not answers.budget_of(one.rule):
        return {}
    body = asked.body
    inside: Iterable[tuple[str, object]] = ()
    if isinstance(body, Form):
        inside = body.fields.items()
    elif isinstance(body, Mapping):
        inside = leaves(body, one.body or {})
    return {**compiled.bindings, **matched, **dict(inside), **asked.target.query}


def candidates(compiled: CompiledSet, method: str, path: str) -> Iterable[CompiledHTTPCommand]:
    """Return the commands that could match a path, strictest first."""
    near = compiled.by_shape.get((method, path.count("/")), ())
    if not compiled.deep:
        return near
    deep = (one for one in compiled.deep if one.template.method == method)
    return sorted((*near, *deep), key=lambda one: one.strictness)


def _match(one: CompiledHTTPCommand, asked: Asked) -> dict[str, str] | None:
    found = one.pattern.fullmatch(asked.path)
    if found is None:
        return None
    if one.plain and not asked.target.query and isinstance(asked.body, Unseen | Absent):
        return {}
    matched = found.groupdict()
    return None if next(_faults(one, asked, matched), None) else matched


def _faults(one: CompiledHTTPCommand, asked: Asked, matched: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the faults of a request whose path matches, each with its code."""
    yield from target_faults(one, asked.target, matched)
    yield from carried_faults(one, asked.body, asked.headers, matched)


def target_faults(
    one: CompiledHTTPCommand, target: Target, matched: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the faults of the values in a matching path and in its query, each with its code."""
    for name, type_ in one.types.items():
        try:
            type_.accept(matched[name])
        except ValueRefused as error:
            yield error.of(name), "value"
    for fault in faults_inside("the query", one.query, target.query.items(), one.optional, matched):
        yield fault, "query"


def _is_denied(one: CompiledHTTPCommand, asked: Asked) -> bool:
    """Whether a deny matches. Returns True if in doubt."""
    if one.template.method != ANY and one.template.method not in asked.methods:
        return False
    found = one.pattern.fullmatch(asked.path)
    if found is None:
        return False
    matched = found.groupdict()
    if any(not type_.recognizes(matched[name]) for name, type_ in one.types.items()):
        return False
    query = asked.target.query
    if any(name not in query or check.fault(query[name], matched) for name, check in one.query.items()):
        return False
    return one.body is None or _body_denied(one.body, asked.body, matched)


def _body_denied(limited: Mapping[str, Check], body: Content, matched: dict[str, str]) -> bool:
    if isinstance(body, Absent):
        return False
    # An application may accept a form in place of JSON.
    if isinstance(body, Unseen | Form | Upload):
        return True
    try:
        given = dict(leaves(body, limited))
    except ValueRefused:
        return True
    return all(name in given and not check.fault(given[name], matched) for name, check in limited.items())


def _explain(compiled: CompiledSet, asked: Asked) -> Refused:
    """Explain why nothing matches: the first difference from the nearest request."""
    method = asked.method
    if any(one.template.method == method and _match(one, asked) is not None for one in compiled.left_out):
        return Refused("the approvers excluded this request from the grant", None, "left_out")
    allows = [one for one in compiled.commands if one.allows]
    if not allows:
        return Refused("nothing is allowed: the list of requests is empty", None, "empty")
    for one in allows:
        found = one.pattern.fullmatch(asked.path)
        if found and one.template.method == method:
            reason, code = next(_faults(one, asked, found.groupdict()))
            return Refused(reason, one.text, code)
    same_path = [one for one in allows if one.pattern.fullmatch(asked.path)]
    if same_path:
        methods = ", ".join(dict.fromkeys(one.template.method for one in same_path))
        return Refused(
            f"{clip(method)} is not allowed on this path, only {methods}", same_path[0].text, "method"
        )
    nearest = max(allows, key=lambda one: (_likeness(one, method, asked.path), -one.index))
    return Refused(f"{clip(asked.path)} is not one of the allowed paths", nearest.text, "path")


def _likeness(one: CompiledHTTPCommand, method: str, path: str) -> float:
    """Return the number of leading path segments that are equal. An equal method counts as half a segment."""
    ours, theirs = one.text.partition(" ")[2].split("/"), path.split("/")
    same = 0
    for left, right in zip(ours, theirs, strict=False):
        if left != right and "{" not in left:
            break
        same += 1 + (left == right)
    return same - 0.5 * abs(len(ours) - len(theirs)) + (one.template.method == method)
