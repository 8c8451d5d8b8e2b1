"""Read a request as the API server reads it: verb, group, resource, name and namespace from its method and
URL.

Requests that two parsers could read differently are refused: escapes, empty segments and dots in the path,
repeated or odd query keys, and methods and prefixes that only old clients use.

Source: k8s.io/apiserver, pkg/endpoints/request/requestinfo.go; k8s.io/apimachinery, pkg/fields/selector.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from sessions_app.policy.commands.characters import clip, hidden_at
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.resources import full_name

MAX_TARGET = 64 * 1024
# Maximum lengths in characters, as the API server enforces them (RFC 1123).
MAX_NAME, MAX_NAMESPACE = 253, 63
# Each word of a command that `exec` runs is a separate parameter.
REPEATED = "command"
_SEGMENT = re.compile(r"[A-Za-z0-9._:~-]+")
_PAIR = re.compile(r"([A-Za-z][A-Za-z0-9]*)=((?:[A-Za-z0-9._~:/?@!$'()*+,=|-]|%[0-9A-Fa-f]{2})*)")
_TERM = re.compile(r"([A-Za-z0-9._/\[\]-]+?)(!=|==|=)([A-Za-z0-9._:/-]*)")
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_OLD = frozenset(("watch", "proxy"))
_OF_A_NAMESPACE = frozenset(("status", "finalize"))
_GROUPLESS, _GROUPED = "api", "apis"


@dataclass(frozen=True, slots=True)
class KubeRequest:
    """One request to an API server.

    `parts` are the path segments, starting with the resource. `query` has the decoded pairs in order. Without
    a name, the request is about every object, or about the one object that the body names. Without a
    namespace, it is about the whole cluster. For a path that is not a resource, `verb` is the method in
    lowercase, and only `path`, `parts` and `query` are set.
    """

    verb: str
    group: str
    version: str
    namespace: str
    resource: str
    subresource: str
    name: str
    path: str
    parts: tuple[str, ...]
    is_resource: bool
    query: tuple[tuple[str, str], ...]

    @property
    def full_resource(self) -> str:
        """The resource with its subresource, as RBAC writes it: `deployments/scale`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def value(self, key: str) -> str:
        """Return the value of a query parameter; empty if there is none."""
        return next((value for name, value in self.query if name == key), "")

    def values(self, key: str) -> tuple[str, ...]:
        """Return every value of a query parameter, in order."""
        return tuple(value for name, value in self.query if name == key)

    def flag(self, key: str) -> bool:
        """Return a switch of the query. Raises RuleRefused as `switch` does."""
        return switch(dict(self.query), key)

    def __str__(self) -> str:
        if not self.is_resource:
            return f"{self.verb} {self.path}"
        name = f" {self.name}" if self.name else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {full_name(self.group, self.full_resource)}{name}{where}"


@dataclass(frozen=True, slots=True)
class Sent:
    """The content of a request besides its URL: the media type without parameters, and the body as parsed
    JSON or YAML.

    A missing body is None. The parser must refuse duplicate keys. A decision may need `target`, the existing
    object that the request changes (empty if there is none), and `history`, the object's revisions. `unread`
    is a clause that explains why these could not be read.
    """

    media_type: str = ""
    body: Any = None
    target: Mapping[str, Any] | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    unread: str = ""


def read_request(method: str, path: str, query: str) -> KubeRequest:
    """Return what a request is about. `path` and `query` are as sent, without the `?` between them.

    Raises RuleRefused with the reason if parsers could read the request differently.
    """
    if len(path) + len(query) > MAX_TARGET:
        raise RuleRefused(f"the URL is longer than {MAX_TARGET // 1024} KiB")
    if method not in _VERBS:
        raise RuleRefused(
            f"the method {clip(method)} is not used by kubectl: use GET, POST, PUT, PATCH or DELETE"
        )
    segments, pairs = _segments(path), tuple(_pairs(query))
    if len(segments) < 3 or segments[0] not in (_GROUPLESS, _GROUPED):
        return _other(method, path, segments, pairs)
    if segments[0] == _GROUPED:
        if len(segments) < 4:
            return _other(method, path, segments, pairs)
        group, version, *rest = segments[1:]
    else:
        group, (version, *rest) = "", segments[1:]
    return _resource(method, path, (group, version), rest, pairs)


def _segments(path: str) -> tuple[str, ...]:
    if not path.startswith("/"):
        raise RuleRefused("the path must begin with “/”")
    segments = tuple(path[1:].split("/")) if path != "/" else ()
    for segment in segments:
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise RuleRefused(
                f"the path has the segment {clip(segment)}: use plain names, without escapes, dots or "
                "empty segments"
            )
    return segments


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for piece in query.split("&") if query else ():
        found = _PAIR.fullmatch(piece)
        if not found:
            raise RuleRefused(f"the query has {clip(piece)}: write each parameter as key=value")
        key, value = found[1], _decoded(found[2])
        if key in seen and key != REPEATED:
            raise RuleRefused(f"the query has {key} twice: keep one")
        seen.add(key)
        yield key, value


def _decoded(text: str) -> str:
    try:
        value = unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise RuleRefused(f"the query has {clip(text)}, which is not UTF-8") from None
    at = hidden_at(value)
    if at is not None:
        raise RuleRefused(f"the query has {clip(text)}, which contains an invisible character")
    return value


def _other(
    method: str, path: str, segments: tuple[str, ...], pairs: tuple[tuple[str, str], ...]
) -> KubeRequest:
    return KubeRequest(method.lower(), "", "", "", "", "", "", path, segments, False, pairs)


def _resource(
    method: str, path: str, place: tuple[str, str], parts: Sequence[str], pairs: tuple[tuple[str, str], ...]
) -> KubeRequest:
    if parts[0] in _OLD:
        raise RuleRefused(
            f"the old prefix /{parts[0]}/ is not supported: use the query `watch=true` or the subresource "
            "proxy"
        )
    namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 1 else ""
    if namespace and len(parts) > 2 and parts[2] not in _OF_A_NAMESPACE:
        parts = parts[2:]
    resource, name, subresource = (*parts[:3], "", "")[:3]
    if len(parts) > 3 and subresource != "proxy":
        raise RuleRefused(
            f"the path continues after {clip(subresource)}, which is not followed by a known resource"
        )
    verb, name = _verb(_VERBS[method], name, dict(pairs))
    if len(name) > MAX_NAME or len(namespace) > MAX_NAMESPACE:
        raise RuleRefused("the name is longer than any object name can be")
    return KubeRequest(verb, *place, namespace, resource, subresource, name, path, tuple(parts), True, pairs)


def _verb(verb: str, name: str, query: dict[str, str]) -> tuple[str, str]:
    """Return the verb and the name, taking the query into account."""
    watched = switch(query, "watch")
    if verb == "get" and not name:
        return ("watch" if watched else "list"), _selected_name(query.get("fieldSelector"))
    if watched:
        raise RuleRefused("`watch` is only for lists: select one object with fieldSelector=metadata.name=…")
    return ("deletecollection" if verb == "delete" and not name else verb), name


def switch(query: Mapping[str, str], key: str) -> bool:
    """Return a switch of a query.

    Raises RuleRefused for a value other than true, false, 1 or 0. The API server treats everything except an
    absent value, 0 and false as true, even an empty value. Source: k8s.io/apimachinery,
    pkg/runtime/conversion.go.
    """
    value = query.get(key, "false")
    if value not in (*_TRUE, *_FALSE):
        raise RuleRefused(f"{key} must be true or false, not {clip(value)}")
    return value in _TRUE


def _selected_name(selector: str | None) -> str:
    """Return the name that a field selector requires; empty if it requires none. Raises RuleRefused."""
    return next(
        (
            value
            for field, sign, value in selector_terms(selector)
            if field == "metadata.name" and sign == "="
        ),
        "",
    )


def selector_terms(selector: str | None) -> list[tuple[str, str, str]]:
    """Return the terms of a field selector: the field, `=` or `!=`, and the value. Raises RuleRefused for
    escapes, empty names and a field that occurs twice.
    """
    terms: list[tuple[str, str, str]] = []
    for term in selector.split(",") if selector is not None else ():
        found = _TERM.fullmatch(term)
        if not found or any(found[1] == field for field, _, _ in terms):
            raise RuleRefused(
                f"fieldSelector has {clip(term)}: write each field once, like metadata.name=web"
            )
        terms.append((found[1], "!=" if found[2] == "!=" else "=", found[3]))
    if any(
        field == "metadata.name" and (not value or "/" in value or value in (".", ".."))
        for field, _, value in terms
    ):
        raise RuleRefused("fieldSelector needs a plain name for metadata.name")
    return terms
