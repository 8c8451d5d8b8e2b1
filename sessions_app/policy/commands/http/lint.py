"""The linter for HTTP. It finds non-obvious effects of a command set."""

from collections.abc import Iterator
from itertools import combinations

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.findings import Finding, Severity, document_findings
from sessions_app.policy.commands.http.document import HTTPCommandSet, HTTPDeny, HTTPRequest, Rule
from sessions_app.policy.commands.http.headers import is_method_field
from sessions_app.policy.commands.http.templates import ANY, PathParameter
from sessions_app.policy.commands.json_values.placeholders import placeholder_in
from sessions_app.policy.commands.parameters import Choice, ParameterType, PathBelow, Pattern
from sessions_app.policy.commands.patterns import compile_pattern

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
# Keys that distinguish two requests with the same path, and the limits on responses.
_DECIDING = (
    "effect",
    "hold",
    "budget",
    "query",
    "body",
    "form",
    "files",
    "upload",
    "headers",
    "response",
    "stream",
    "websocket",
)
_ANYTHING = ("a", "a b", "A-1", "é", "a.b", "a~b", "a=b", "a,b", "(a)", "1")
# The risk of a body that the proxy does not send to Stint.
_HIDDEN = ". Rails, Laravel, Symfony and others treat `_method=DELETE` in it as the method"
_VERBS = frozenset(("delete", "remove", "destroy", "purge", "drop", "reset", "disable", "revoke"))
_ADMIN = frozenset(
    ("admin", "internal", "debug", "actuator", "graphql", "rpc", "exec", "shell", "batch", "proxy")
)


def lint(document: HTTPCommandSet) -> list[Finding]:
    """Return all findings, errors first, each in document order."""
    found = [*document_findings(document)]
    for name, type_ in document.parameters.items():
        found += _type_findings(f"parameters.{name}", type_)
    for index, rule in enumerate(document.commands):
        found += _rule_findings(document, index, rule)
    found += _overlaps(document)
    found += _idle_denies(document)
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error")


def _type_findings(where: str, type_: ParameterType) -> Iterator[Finding]:
    if isinstance(type_, Pattern):
        compiled = compile_pattern(type_.pattern)
        if all(compiled.fullmatch(probe) for probe in _ANYTHING):
            yield Finding(
                "error",
                "broad_pattern",
                where,
                f"the pattern {clip(type_.pattern)} matches any path segment, not only one record",
                "allow only the expected characters, like T-[0-9]{1,8}, or use choice, int or name",
            )
    if isinstance(type_, PathBelow) and type_.root == "/":
        yield Finding(
            "error",
            "free_path",
            where,
            "a path below / can be any path of the application",
            "set the intended folder",
        )


def _rule_findings(document: HTTPCommandSet, index: int, rule: Rule) -> Iterator[Finding]:
    if not rule.text.isascii():
        yield _found(
            index,
            rule.WRITTEN,
            "look_alike",
            "the request contains letters that look like other letters",
            "check that each letter is the one you mean",
        )
    if isinstance(rule, HTTPRequest):
        for name in set(rule.where).intersection(rule.template().names):
            yield from _type_findings(f"commands[{index}].where.{name}", rule.where[name])
        yield from _effect_findings(index, rule)
        yield from _reach_findings(index, rule)
        yield from _stream_findings(index, rule)
        yield from _freedom_findings(document, index, rule)
        yield from _method_findings(document, index, rule)


def _found(
    index: int, field: str, code: str, message: str, fix: str, severity: Severity = "warning"
) -> Finding:
    return Finding(severity, code, f"commands[{index}].{field}", message, fix)


def _effect_findings(index: int, rule: HTTPRequest) -> Iterator[Finding]:
    method = rule.template().method
    verbs = _VERBS.intersection(_segments(rule))
    if method not in _SAFE and rule.effect == "read":
        yield _found(
            index,
            "effect",
            "effect",
            f"{method} changes the target, but its effect is `read`",
            "set effect: change or effect: destructive",
            "error",
        )
    if method == "DELETE" and rule.effect == "change":
        yield _found(
            index, "effect", "effect", "DELETE permanently removes something", "set effect: destructive"
        )
    if method in _SAFE and rule.effect == "read" and verbs:
        yield _found(
            index,
            "effect",
            "effect",
            f"`{min(verbs)}` in the path suggests a change, but {method} should only read",
            "check what the application does, and set effect: change if it changes anything",
        )


def _reach_findings(index: int, rule: HTTPRequest) -> Iterator[Finding]:
    """Find paths that reach more than they appear to."""
    segments = _segments(rule)
    powers = _ADMIN.intersection(segments)
    if not segments:
        yield _found(
            index,
            "request",
            "root",
            "the path / is the root of the application",
            "set the intended path",
        )
    if powers:
        yield _found(
            index,
            "request",
            "powerful",
            f"a path with `{min(powers)}` often does more than one thing",
            "list the paths below it one by one, and limit their query and body",
        )
    if segments and segments[0].startswith("{"):
        yield _found(
            index,
            "request",
            "free_root",
            "the first path segment is free, so one request can reach different parts of the application",
            "write out the first segment",
        )


def _stream_findings(index: int, rule: HTTPRequest) -> Iterator[Finding]:
    if rule.stream:
        yield _found(
            index,
            "stream",
            "stream",
            "a response that has started can continue after the grant ends, except through Stint's "
            "own gateway",
            "remove `stream`, unless events are needed immediately",
        )


def _freedom_findings(document: HTTPCommandSet, index: int, rule: HTTPRequest) -> Iterator[Finding]:
    """Find choices that the rule leaves to the holder."""
    method = rule.template().method
    if method in _WITH_BODY and rule.content == "none":
        yield _found(
            index,
            "body",
            "free_body",
            f"a proxy that does not send the body of {method} to Stint (nginx, Traefik, Caddy, Envoy)"
            f" allows any body{_HIDDEN if method == 'POST' else ''}",
            "add body: with a limit for each key, or use this only with Stint's own gateway (proxy: "
            "stint), which refuses any body",
        )
    if rule.upload is not None and rule.effect == "read":
        yield _found(
            index,
            "upload",
            "effect",
            "an upload can have any content, but its effect is `read`",
            "set effect: change or effect: destructive, or limit the content with body or form",
            "error",
        )
    if rule.websocket:
        yield _found(
            index,
            "websocket",
            "websocket",
            "WebSocket messages are not limited: the holder can send anything",
            "allow plain requests instead, or set hold: true so that a second person approves each "
            "connection",
        )
    if document.parameters and not set(rule.names) & set(document.parameters) and method not in _SAFE:
        yield _found(
            index,
            "request",
            "unbound",
            "the request uses no parameter of the grant, so it isn't limited to the grant's workflow",
            "use a parameter in the path, query, body or form",
        )


def _method_findings(document: HTTPCommandSet, index: int, rule: HTTPRequest) -> Iterator[Finding]:
    """Find values that application frameworks treat as the request's method."""
    text = rule.text
    for where, among in (*rule.limited, ("files", rule.files)):
        for name in filter(is_method_field, among):
            methods = _values(document, rule, among[name])
            if methods is None:
                yield _found(
                    index,
                    f"{where}.{name}",
                    "free_method",
                    f"many frameworks treat {name} as the method, and the holder can set any method in "
                    f"{clip(text)}",
                    f"list the allowed methods for {name} with choice, or remove it",
                    "error",
                )
                continue
            yield _found(
                index,
                f"{where}.{name}",
                "method_field",
                f"many frameworks treat {name} as the method: {clip(text)} can then be "
                f"{' or '.join(methods)}",
                "allow the method itself instead of the field, if the application supports it",
            )
            if "DELETE" in methods and rule.effect != "destructive":
                yield _found(
                    index,
                    "effect",
                    "effect",
                    f"{name} makes it a DELETE, which permanently removes something",
                    "set effect: destructive",
                    "error",
                )
    types = rule.upload.types if rule.upload else ()
    read = [media for media in types if "/json" in media or "+json" in media]
    if read:
        yield _found(
            index,
            "upload",
            "method_field",
            f"some frameworks parse {read[0]} as fields and take the method from a `_method` "
            "field, which Stint does not check",
            "limit the keys of the body with body, or check that the application reads no fields from it",
        )


def _values(document: HTTPCommandSet, rule: HTTPRequest, constraint: object) -> tuple[str, ...] | None:
    """Return the values that a field can have, in uppercase; None if they are not listed."""
    name = placeholder_in(constraint)
    type_ = document.type_of(rule, name) if name else constraint
    if isinstance(type_, Choice):
        return tuple(value.upper() for value in type_.choices)
    return (type_.upper(),) if isinstance(type_, str) else None


def _segments(rule: Rule) -> list[str]:
    text = "".join(f"{{{p.name}}}" if isinstance(p, PathParameter) else p for p in rule.template().pieces)
    return [segment.lower() for segment in text.split("/") if segment]


def _overlaps(document: HTTPCommandSet) -> Iterator[Finding]:
    """Find pairs of rules that can match the same request, if it matters which of the two decides."""
    allows = [(index, rule) for index, rule in enumerate(document.commands) if isinstance(rule, HTTPRequest)]
    for (first, one), (second, other) in combinations(allows, 2):
        if one.template().method != other.template().method or not _may_meet(
            _segments(one), _segments(other)
        ):
            continue
        same = all(getattr(one, name) == getattr(other, name) for name in _DECIDING)
        if not same:
            yield Finding(
                "warning",
                "overlap",
                f"commands[{second}].request",
                f"a request can match both this and commands[{first}], and is allowed if either one "
                "allows it",
                "remove one of the two, or narrow the values so that no request matches both",
            )


def _may_meet(one: list[str], other: list[str]) -> bool:
    return len(one) == len(other) and all(
        "{" in left or "{" in right or left == right for left, right in zip(one, other, strict=True)
    )


def _idle_denies(document: HTTPCommandSet) -> Iterator[Finding]:
    """Find denies on bodies.

    Such a deny applies to every body that Stint does not see, and to every body that is not JSON.
    """
    for index, rule in enumerate(document.commands):
        if (
            isinstance(rule, HTTPDeny)
            and rule.body is not None
            and rule.template().method in (ANY, *_WITH_BODY)
        ):
            yield Finding(
                "warning",
                "deny_body",
                f"commands[{index}].body",
                "a proxy that does not send the body to Stint (nginx, Traefik, Caddy, Envoy) denies this "
                "path for every body, and any proxy denies it for forms and uploads",
                "limit the body where the request is allowed instead",
            )
