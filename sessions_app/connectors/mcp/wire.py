"""Messages of the Model Context Protocol on the wire, in both eras, and the digest that pins a tool.

Source: Model Context Protocol 2026-07-28, "Transports" (every request is independent, with its version in
header and body) and 2025-11-25, "Transports" (a handshake, then a session); WHATWG HTML, "Server-sent
events".
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

Message = dict[str, Any]

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
LEGACIES = (LEGACY, "2025-06-18", "2025-03-26")
META = "io.modelcontextprotocol/"
VERSION_KEY, CAPABILITIES_KEY = f"{META}protocolVersion", f"{META}clientCapabilities"
# The lists of a server: the key of their items, and what names an item.
LISTS = {
    "tools/list": ("tools", "name"),
    "prompts/list": ("prompts", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
}
NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}

# Error codes of JSON-RPC 2.0, and those reserved by MCP.
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, INTERNAL_ERROR = -32602, -32603
# Stint's own: a request that is not refused, but was not carried out.
NOT_MADE = -31000
HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION = -32020, -32021, -32022

_LINE = re.compile(rb"\r\n|\n|\r(?=[^\n])")
_ENCODED = re.compile(r"=\?base64\?(.*)\?=")
_SAFE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_VISIBLE = re.compile(r"[\t\x20-\x7e]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_TOLD = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")


def words_of(key: str) -> str:
    """Return the key of a list's items as words: resource templates."""
    return re.sub(r"(?=[A-Z])", " ", key).lower()


class BadMessage(ValueError):
    """A text that is not a message of the protocol. The exception's text gives the reason."""


def message_of(data: bytes | str) -> Message:
    """Parse one JSON-RPC message from a server. Raises BadMessage for a batch or any other text."""
    try:
        found = json.loads(data, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise BadMessage("sent invalid JSON") from None
    if not isinstance(found, dict) or found.get("jsonrpc") != "2.0":
        raise BadMessage("did not send a single JSON-RPC message")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def dump(message: Mapping[str, Any]) -> bytes:
    """Serialize a message as UTF-8 JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def digest_of(tool: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of the parts of a tool's definition that a model and its host receive.

    These include the tool's name, description, schemas and annotations. Equal definitions have equal digests.
    """
    told = {key: tool.get(key) for key in _TOLD}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def header_value(value: str) -> str:
    """Encode a value for a header: unchanged, or as marked base64 if a header can't contain the value."""
    if _SAFE.fullmatch(value) and not _ENCODED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'surrogatepass')).decode()}?="


def value_in_header(text: str) -> str | None:
    """Decode the value of a header; None for invalid marked base64, or characters that need base64."""
    found = _ENCODED.fullmatch(text)
    if found is None:
        return text if _VISIBLE.fullmatch(text) else None
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except ValueError:
        return None


def routing_headers(method: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return the routing headers of a request in the newer era, derived from its body."""
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    name = params.get(NAMED_BY.get(method, ""))
    return {**headers, "Mcp-Name": header_value(name)} if isinstance(name, str) else headers


def parameter_headers(schema: Any, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that a tool's schema requests with ``x-mcp-header``, derived only from the
    arguments.
    """
    found = mirrored(schema, arguments)
    return {name: header_value(_text(value)) for name, value in found.items() if value is not None}


def mirrored(schema: Any, arguments: Mapping[str, Any]) -> dict[str, str | int | None]:
    """Return the argument for each header that a tool's schema requests; None if the header must be
    absent.
    """
    found: dict[str, str | int | None] = {}
    for path, token in _annotated(schema, ()):
        value: Any = arguments
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        found[f"Mcp-Param-{token}"] = value if isinstance(value, str | int) else None
    return found


def mirrors(header: str, value: str | int | None) -> bool:
    """Whether a header contains an argument. Integers are compared as numbers: 42.0 is 42."""
    said = value_in_header(header)
    if value is None or said is None:
        return False
    whole, point, fraction = said.partition(".")
    if type(value) is int and point and fraction and not fraction.strip("0"):
        said = whole
    return said == _text(value)


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _annotated(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if len(path) > 20 or not isinstance(schema, Mapping):
        return
    token = schema.get("x-mcp-header")
    if path and isinstance(token, str) and _TOKEN.fullmatch(token):
        yield path, token
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        yield from _annotated(inner, (*path, name))


def without_envelope(params: Mapping[str, Any]) -> Message:
    """Return the parameters without the protocol's own keys in ``_meta``, which describe another
    connection.
    """
    meta = params.get("_meta")
    kept = (
        {key: value for key, value in meta.items() if not key.startswith(META)}
        if isinstance(meta, Mapping)
        else {}
    )
    rest = {key: value for key, value in params.items() if key != "_meta"}
    return {**rest, "_meta": kept} if kept else rest


class Events:
    """Parses server-sent events from chunks of a stream, and returns the data of each event."""

    def __init__(self, *, most: int) -> None:
        self._most, self._rest, self._data = most, b"", list[bytes]()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Consume one chunk, and return the data of the events that are complete.

        Raises BadMessage for an event that is too large.
        """
        *lines, self._rest = _LINE.split(self._rest + chunk)
        found = [data for line in lines if (data := self._line(line)) is not None]
        if len(self._rest) + sum(map(len, self._data)) > self._most:
            raise BadMessage("sent an event that is too large")
        return found

    def _line(self, line: bytes) -> bytes | None:
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        data, self._data = self._data, []
        return b"\n".join(data) if any(data) else None
