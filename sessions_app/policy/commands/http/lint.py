"""The linter: what a command set for HTTP allows beyond what it seems to."""

from collections.abc import Iterator
from itertools import combinations

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.findings import Finding, Severity, document_findings
from sessions_app.policy.commands.http.document import HTTPCommandSet, HTTPDeny, HTTPRequest, Rule
from sessions_app.policy.commands.http.templates import ANY, Place
from sessions_app.policy.commands.parameters import ParameterType, PathBelow, Pattern, compile_pattern

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_ANYTHING = ("a", "a b", "A-1", "é", "a.b", "a~b", "a=b", "a,b", "(a)", "1")
_VERBS = frozenset(("delete", "remove", "destroy", "purge", "drop", "reset", "disable", "revoke"))
_ADMIN = frozenset(
    ("admin", "internal", "debug", "actuator", "graphql", "rpc", "exec", "shell", "batch", "proxy")
)


def lint(document: HTTPCommandSet) -> list[Finding]:
    """All findings, errors first, each in the order of the document."""
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
                "error", "broad_pattern", where,
                f"the pattern {clip(type_.pattern)} takes any part of a path, so every neighbour is allowed as well",
                "name the characters that may stand there, like T-[0-9]{1,8}, or use choice, int or name",
            )  # fmt: skip
    if isinstance(type_, PathBelow) and type_.root == "/":
        yield Finding(
            "error", "free_path", where, "a path below / is every path of the application",
            "set the folder that is meant",
        )  # fmt: skip


def _rule_findings(document: HTTPCommandSet, index: int, rule: Rule) -> Iterator[Finding]:
    if not rule.text.isascii():
        yield _found(
            index, rule.WRITTEN, "look_alike", "the request contains letters that look like others",
            "check that each letter is what it looks like",
        )  # fmt: skip
    if isinstance(rule, HTTPRequest):
        for name in set(rule.where).intersection(rule.template().names):
            yield from _type_findings(f"commands[{index}].where.{name}", rule.where[name])
        yield from _effect_findings(index, rule)
        yield from _reach_findings(index, rule)
        yield from _stream_findings(index, rule)
        yield from _freedom_findings(document, index, rule)


def _found(
    index: int, field: str, code: str, message: str, fix: str, severity: Severity = "warning"
) -> Finding:
    return Finding(severity, code, f"commands[{index}].{field}", message, fix)


def _effect_findings(index: int, rule: HTTPRequest) -> Iterator[Finding]:
    method = rule.template().method
    verbs = _VERBS.intersection(_segments(rule))
    if method not in _SAFE and rule.effect == "read":
        yield _found(
            index, "effect", "effect", f"{method} changes the target, but its effect says that it only reads",
            "write effect: change or effect: destructive", "error",
        )  # fmt: skip
    if method == "DELETE" and rule.effect == "change":
        yield _found(
            index, "effect", "effect", "DELETE removes something permanently", "write effect: destructive"
        )
    if method in _SAFE and rule.effect == "read" and verbs:
        yield _found(
            index, "effect", "effect", f"`{min(verbs)}` in the path sounds like a change, although {method} is said to read",
            "check what the application does, and write effect: change if it changes anything",
        )  # fmt: skip


def _reach_findings(index: int, rule: HTTPRequest) -> Iterator[Finding]:
    """Paths that lead further than they seem to."""
    segments = _segments(rule)
    powers = _ADMIN.intersection(segments)
    if not segments:
        yield _found(
            index,
            "request",
            "root",
            "the path / is the start of the application",
            "set the path that is meant",
        )
    if powers:
        yield _found(
            index, "request", "powerful", f"`{min(powers)}` in the path often does more than one thing",
            "name the paths behind it one by one, and limit query and body",
        )  # fmt: skip
    if segments and segments[0].startswith("{"):
        yield _found(
            index, "request", "free_root",
            "the first part of the path is free, so one request reaches different parts of the application",
            "write the first part out",
        )  # fmt: skip


def _stream_findings(index: int, rule: HTTPRequest) -> Iterator[Finding]:
    if rule.stream:
        yield _found(
            index, "stream", "stream", "an answer that has begun may go on after the end of the grant",
            "remove it, unless events are needed as they happen",
        )  # fmt: skip


def _freedom_findings(document: HTTPCommandSet, index: int, rule: HTTPRequest) -> Iterator[Finding]:
    """What the holder may choose."""
    method = rule.template().method
    if method in _WITH_BODY and rule.body is None:
        yield _found(
            index, "body", "free_body", f"the body of {method} is free: the holder may send anything in it",
            "write body: with what each key must be; only doors that see the body (AuthZEN) then allow it",
        )  # fmt: skip
    if document.parameters and not set(rule.names) & set(document.parameters) and method not in _SAFE:
        yield _found(
            index, "request", "unbound",
            "it contains no parameter of the grant, so it covers more than one workflow",
            "use a parameter in the path, query or body",
        )  # fmt: skip


def _segments(rule: Rule) -> list[str]:
    text = "".join(f"{{{p.name}}}" if isinstance(p, Place) else p for p in rule.template().pieces)
    return [segment.lower() for segment in text.split("/") if segment]


def _overlaps(document: HTTPCommandSet) -> Iterator[Finding]:
    """Allowed requests that one request could fit, where it matters which of them decides."""
    allows = [(index, rule) for index, rule in enumerate(document.commands) if isinstance(rule, HTTPRequest)]
    for (first, one), (second, other) in combinations(allows, 2):
        if one.template().method != other.template().method or not _may_meet(
            _segments(one), _segments(other)
        ):
            continue
        same = all(
            getattr(one, name) == getattr(other, name) for name in ("effect", "query", "body", "stream")
        )
        if not same:
            yield Finding(
                "warning", "overlap", f"commands[{second}].request",
                f"one request can fit this and commands[{first}]: it is allowed if either allows it",
                "remove one, or narrow its values so that no request fits both",
            )  # fmt: skip


def _may_meet(one: list[str], other: list[str]) -> bool:
    return len(one) == len(other) and all(
        "{" in left or "{" in right or left == right for left, right in zip(one, other, strict=True)
    )


def _idle_denies(document: HTTPCommandSet) -> Iterator[Finding]:
    """Denies on bodies, which a door that does not see the body takes for all bodies."""
    for index, rule in enumerate(document.commands):
        if (
            isinstance(rule, HTTPDeny)
            and rule.body is not None
            and rule.template().method in (ANY, *_WITH_BODY)
        ):
            yield Finding(
                "warning", "deny_body", f"commands[{index}].body",
                "a proxy that does not send the body (nginx, Traefik, Caddy) denies this path for any body",
                "limit the body where the request is allowed instead",
            )  # fmt: skip
