"""A second reader of requests to an API server, written after Go's code and not after ours. It refuses
nothing.

Source: k8s.io/apiserver v0.34, pkg/endpoints/request/requestinfo.go; net/url of Go 1.24 (ParseQuery,
unescape); k8s.io/apimachinery, pkg/fields/selector.go and the conversion of query parameters.
"""

import binascii
from dataclasses import dataclass

METHODS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
Query = dict[str, list[str]]


@dataclass
class Info:
    """RequestInfo of an API server."""

    verb: str
    resource_request: bool = False
    prefix: str = ""
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


def info_of(method: str, path: str, query: str) -> Info | None:
    """RequestInfo of a request; None where the server answers with an error."""
    found = Info(method.lower())
    plain = unescape(path, plus=False)
    if plain is None:
        return None
    trimmed = plain.strip("/")
    rest = trimmed.split("/") if trimmed else []
    if len(rest) < 3 or rest[0] not in ("api", "apis") or (rest[0] == "apis" and len(rest) < 4):
        return found
    found.prefix = rest.pop(0)
    found.group = rest.pop(0) if found.prefix == "apis" else ""
    found.resource_request = True
    found.version = rest.pop(0)
    found.verb = METHODS.get(method, "")
    if rest[0] in ("proxy", "watch"):
        if len(rest) < 2:
            return None
        found.verb = rest.pop(0)
    _place(found, rest)
    _nameless(found, parse_query(query))
    return found


def _place(found: Info, rest: list[str]) -> None:
    if rest[0] == "namespaces" and len(rest) > 1:
        found.namespace = rest[1]
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    found.resource, found.name, found.subresource, *_ = (*rest, "", "")
    if found.verb == "proxy":
        found.subresource = ""


def _nameless(found: Info, query: Query) -> None:
    if not found.name and found.verb == "get":
        found.verb = "watch" if _true(query.get("watch", [])) else "list"
        selector = query.get("fieldSelector", [""])
        name = exact_name(selector[0]) if selector else None
        if name is not None and name not in (".", "..") and "/" not in name and "%" not in name:
            found.name = name
    if not found.name and found.verb == "delete":
        found.verb = "deletecollection"


def _true(values: list[str]) -> bool:
    return bool(values) and values[0].lower() not in ("false", "0")


def exact_name(selector: str) -> str | None:
    """What a field selector requires metadata.name to be; None if nothing, or if the selector is not one."""
    terms, current, escaped = [], "", False
    for char in selector:
        if escaped:
            current, escaped = f"{current}\\{char}", False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(current)
            current = ""
        else:
            current += char
    terms.append(current)
    required = None
    for term in terms:
        if not term:
            continue
        place = _operator(term)
        if place is None:
            return None
        at, sign = place
        if sign != "!=" and term[:at] == "metadata.name" and required is None:
            required = term[at + len(sign) :].replace("\\", "")
    return required


def _operator(term: str) -> tuple[int, str] | None:
    for at in range(len(term)):
        for sign in ("!=", "==", "="):
            if term.startswith(sign, at):
                return at, sign
    return None


def parse_query(query: str) -> Query:
    """url.ParseQuery: pieces with a semicolon or a bad escape are left out."""
    found: Query = {}
    for piece in query.split("&"):
        if not piece or ";" in piece:
            continue
        key, _, value = piece.partition("=")
        name, text = unescape(key, plus=True), unescape(value, plus=True)
        if name is not None and text is not None:
            found.setdefault(name, []).append(text)
    return found


def unescape(text: str, *, plus: bool) -> str | None:
    """url.unescape; None for a bad escape. Bytes that are no UTF-8 stay as they are."""
    raw, at, data = text.encode("utf-8", "surrogateescape"), 0, bytearray()
    while at < len(raw):
        if raw[at] == 0x25:
            try:
                data += binascii.unhexlify(raw[at + 1 : at + 3])
            except binascii.Error:
                return None
            if len(raw) < at + 3:
                return None
            at += 3
            continue
        data.append(0x20 if plus and raw[at] == 0x2B else raw[at])
        at += 1
    return data.decode("utf-8", "surrogateescape")
