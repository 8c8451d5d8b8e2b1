"""One HTTP request of an MCP client, read and validated before it is decided.

Two protocol versions share one endpoint. Since 2026-07-28 requests are independent of each other, and their
headers must match the body. Clients of 2025-11-25 and before start with a handshake. A request that two
parsers could read differently is refused.

Source: Model Context Protocol 2026-07-28 and 2025-11-25, "Transports"; JSON-RPC 2.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from sessions_app.connectors.mcp import wire
from sessions_app.policy.commands.json_values.bodies import MAX_BODY, BodyRefused, Json, read_body
from sessions_app.policy.commands.mcp.decide import line_of
from sessions_app.policy.commands.mcp.document import PROMPT, READ

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_ROUTING = (
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "authorization",
    "content-type",
    "dpop",
)
# Seconds. Bodies are small, and no client may keep a request open with an incomplete body.
BODY_S = 10.0
SUPPORTED = (wire.MODERN, *wire.LEGACIES)
_NO_CALL = "an MCP message"


class Rejected(Exception):
    """An invalid request. ``code`` is the JSON-RPC code; None for a response without JSON-RPC."""

    def __init__(
        self,
        status: int,
        code: int | None,
        message: str,
        *,
        number: Json = None,
        data: Json = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.code, self.message, self.number, self.data = status, code, message, number, data
        self.headers = dict(headers or {})
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One message. ``id`` is None for a notification; ``headers`` have lower-case names."""

    method: str
    params: Mapping[str, Any]
    id: str | int | None
    modern: bool
    headers: Mapping[str, str] = field(repr=False)

    @property
    def wants(self) -> str:
        """The media types that the client accepts."""
        return self.headers.get("accept", "")

    @property
    def opens_urls(self) -> bool:
        """Whether the client can bring its person to a page, and did not do so for this request yet.

        Source: Model Context Protocol 2026-07-28, "Elicitation", URL mode. The older version would need a
        stream from the client's start, or a code that is no longer used.
        """
        if not self.modern or "inputResponses" in self.params:
            return False
        elicitation = self.params["_meta"][wire.CAPABILITIES_KEY].get("elicitation")
        return isinstance(elicitation, dict) and isinstance(elicitation.get("url"), dict)

    @property
    def streams(self) -> bool:
        """Whether the client accepts a stream."""
        return "text/event-stream" in self.wants or "*/*" in self.wants


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers by lower-case name. Raises Rejected if a header that must be unique is repeated."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in found and (name in _ROUTING or name == "origin" or name.startswith("mcp-param-")):
            raise Rejected(400, wire.HEADER_MISMATCH, f"The header {name} is repeated.")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


async def body_of(receive: Receive) -> bytes:
    """Return the whole body.

    Raises Rejected if it is too large or too slow, or if the client has disconnected.
    """
    try:
        async with asyncio.timeout(BODY_S):
            return await _whole(receive)
    except TimeoutError as error:
        why = f"The body did not arrive within {BODY_S:.0f} s."
        raise Rejected(408, None, why, headers={"connection": "close"}) from error


async def _whole(receive: Receive) -> bytes:
    found = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Rejected(400, None, "The body is incomplete.")
        found += bytes(message.get("body", b""))
        if len(found) > MAX_BODY:
            why = f"The body is larger than {MAX_BODY // 1024} KiB."
            raise Rejected(413, None, why, headers={"connection": "close"})
        if not message.get("more_body"):
            return found


def asked_of(headers: Mapping[str, str], body: bytes) -> Asked:
    """Return the message in a POST. Raises Rejected."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Rejected(415, None, "Send application/json.")
    try:
        found = read_body(body)
    except BodyRefused as error:
        raise Rejected(400, wire.PARSE_ERROR, f"{error}.") from error
    if not isinstance(found, dict):
        raise Rejected(400, wire.INVALID_REQUEST, "Batches are not supported. Send one JSON-RPC message.")
    number, method, params = found.get("id"), found.get("method"), found.get("params", {})
    # True is a number in Python, but not in JSON-RPC.
    if "id" in found and (not isinstance(number, str | int) or isinstance(number, bool)):
        raise Rejected(400, wire.INVALID_REQUEST, "The id must be a string or an integer.")
    if found.get("jsonrpc") != "2.0" or not isinstance(method, str) or not isinstance(params, dict):
        raise Rejected(
            400, wire.INVALID_REQUEST, "This is not a JSON-RPC 2.0 request or notification.", number=number
        )
    modern = _era(headers, params, number)
    asked = Asked(
        method=method,
        params=params,
        id=number if isinstance(number, str | int) else None,
        modern=modern,
        headers=headers,
    )
    _check_headers(asked)
    return asked


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call as it is decided and recorded: of a tool, of a prompt, or the reading of a resource."""

    name: str
    arguments: dict[str, Json] = field(repr=False)

    @property
    def params(self) -> dict[str, Json]:
        """The parameters of the request to the server."""
        if self.name == READ:
            return dict(self.arguments)
        return {"name": self.name.removeprefix(PROMPT), "arguments": self.arguments}

    @property
    def is_tool(self) -> bool:
        """Whether it is the call of a tool, whose definition is pinned."""
        return self.name != READ and not self.name.startswith(PROMPT)


CALLS = ("tools/call", "prompts/get", "resources/read")


def call_in(method: Any, params: Mapping[str, Any]) -> Wanted | None:
    """Return the call in a request; None if it is invalid."""
    if method == "resources/read":
        uri = params.get("uri")
        return Wanted(READ, {"uri": uri}) if isinstance(uri, str) else None
    name, arguments = params.get("name"), params.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    if method == "tools/call":
        # A tool can be named like another kind of call. A set can't allow it under its name with a prefix.
        other = name == READ or name.startswith(PROMPT)
        return Wanted(f"tool:{name}" if other else name, arguments)
    return Wanted(f"{PROMPT}{name}", arguments) if method == "prompts/get" else None


def check_parameters(asked: Asked, schema: Any) -> None:
    """Check that the headers for arguments match the arguments of a call of a tool with this schema.

    Raises Rejected. The older version requires no such header, but a wrong header could mislead a proxy.
    """
    for header, value in wire.mirrored(schema, asked.params.get("arguments", {})).items():
        said = asked.headers.get(header.lower())
        if said is None and (value is None or not asked.modern):
            continue
        if said is None or not wire.mirrors(said, value):
            what = "is missing" if said is None else "does not match the arguments"
            raise Rejected(400, wire.HEADER_MISMATCH, f"The header {header} {what}.", number=asked.id)


def line_in(body: bytes) -> str:
    """Return the call in a body, to record it if its token is not accepted. Other messages have no line."""
    try:
        found = read_body(body)
    except BodyRefused:
        return _NO_CALL
    method, params = (found.get("method"), found.get("params")) if isinstance(found, dict) else (None, None)
    call = call_in(method, params) if isinstance(params, dict) else None
    return line_of(call.name, call.arguments) if call else _NO_CALL


def _era(headers: Mapping[str, str], params: Mapping[str, Any], number: Json) -> bool:
    """Whether the request uses the newer protocol version. Raises Rejected if header and body don't match."""
    said = headers.get("mcp-protocol-version")
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        raise Rejected(400, wire.INVALID_PARAMS, "_meta must be an object.", number=number)
    inside = meta.get(wire.VERSION_KEY)
    if said is None and inside is not None:
        raise Rejected(
            400, wire.HEADER_MISMATCH, "The header MCP-Protocol-Version is missing.", number=number
        )
    if said is not None and said not in SUPPORTED:
        data: Json = {"supported": list(SUPPORTED), "requested": said[:40]}
        raise Rejected(
            400, wire.UNSUPPORTED_VERSION, "This MCP version is not supported.", number=number, data=data
        )
    if said != wire.MODERN:
        # A request without the header uses 2025-03-26, which did not have this header yet.
        return False
    if number is None:
        return True
    if inside is None or not isinstance(meta.get(wire.CAPABILITIES_KEY), dict):
        why = f"_meta must contain {wire.VERSION_KEY} and {wire.CAPABILITIES_KEY}."
        raise Rejected(400, wire.INVALID_PARAMS, why, number=number)
    if inside != said:
        raise Rejected(
            400, wire.HEADER_MISMATCH, "MCP-Protocol-Version does not match the body.", number=number
        )
    return True


def _check_headers(asked: Asked) -> None:
    """Check that the headers match the body, even if the older version requires no headers, because proxies
    may decide by them.
    """
    wanted = {"mcp-method": asked.method, "mcp-name": asked.params.get(wire.NAMED_BY.get(asked.method, ""))}
    for header, value in wanted.items():
        said = asked.headers.get(header)
        if said is None:
            if asked.modern and asked.id is not None and isinstance(value, str):
                raise Rejected(
                    400, wire.HEADER_MISMATCH, f"The header {header.title()} is missing.", number=asked.id
                )
        elif wire.value_in_header(said) != value:
            raise Rejected(
                400,
                wire.HEADER_MISMATCH,
                f"The header {header.title()} does not match the body.",
                number=asked.id,
            )
