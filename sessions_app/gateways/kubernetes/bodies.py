"""Request bodies: read in full, parsed once, and forwarded as bytes serialized from the parsed value.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from sessions_app.gateways.core.aside import aside
from sessions_app.gateways.core.bodies import go_ahead, pieces
from sessions_app.gateways.core.heads import HeadRefused
from sessions_app.gateways.kubernetes.asked import Asked
from sessions_app.policy.commands.kubernetes.bodies import deeper_than

# The largest body that an API server accepts.
MOST = 3 * 1024 * 1024
# YAML, which only server-side apply uses, takes many times as long to parse as JSON.
MOST_YAML, SLOWER = 256 * 1024, 16
JSON, PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Body:
    """A body to decide: its media type, its parsed value (None without a body), and the bytes to send on."""

    media: str = ""
    value: Any = None
    data: bytes = b""


def largest(asked: Asked) -> int:
    """Return the maximum number of bytes for the body of a request."""
    if asked.framing.empty:
        return 0
    return min(MOST, MOST if asked.framing.length is None else asked.framing.length)


async def read_body(asked: Asked, *, unread: bool = False) -> Body:
    """Return the body of a request. Raises HeadRefused if it can't be decided, does not arrive, or is too
    large.

    ``unread`` means that the decision does not depend on the body, so the body may be protobuf,
    which passes unchanged. Any other protobuf body is refused with 415; most clients then send JSON.
    """
    if asked.framing.empty:
        return Body()
    media = asked.media or JSON
    if "content-encoding" in asked.request.headers:
        raise HeadRefused(415, "The gateway can't check an encoded body: send it without Content-Encoding")
    unread = unread and media == PROTOBUF
    if not unread and media not in (JSON, APPLY, *_PATCHES):
        raise HeadRefused(415, f"Send the body as JSON or YAML, not {media[:100]}")
    if (asked.framing.length or 0) > MOST:
        raise HeadRefused(413, f"The body is larger than {MOST} bytes")
    await go_ahead(asked.request, asked.framing)
    data = b"".join([piece async for piece in pieces(asked.request, MOST)])
    if not data or unread:
        return Body(media, None, data) if data else Body()
    return await aside(len(data) * (SLOWER if media == APPLY else 1), _read, data, media)


def _read(data: bytes, media: str) -> Body:
    try:
        value = _parsed(data, media)
        return Body(media, value, json.dumps(value, allow_nan=False).encode())
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        said = str(error) if isinstance(error, _Unclear) else "the body is not valid JSON or YAML"
        raise HeadRefused(400, f"The body can't be read: {said}") from None


def _parsed(data: bytes, media: str) -> Any:
    text = data.decode("utf-8")
    # YAML includes JSON.
    if media != APPLY or text.lstrip().startswith(("{", "[")):
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        if deeper_than(value, _DEEPEST):
            raise _Unclear("the body is nested too deeply")
        return value
    if len(data) > MOST_YAML:
        raise HeadRefused(413, f"YAML is limited to {MOST_YAML} bytes: send JSON")
    _check_events(text)
    return _plain(yaml.load(text, Loader=_Loader))  # noqa: S506  # a safe loader


class _Unclear(ValueError):
    """A body that two parsers could read differently."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Unclear("a key is repeated")
    return found


def _no_constant(text: str) -> None:
    raise _Unclear(f"{text} is not JSON")


def _check_events(text: str) -> None:
    """Refuse anchors, which can expand without limit, and deep nesting, before parsing. Raises _Unclear."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if getattr(event, "anchor", None) is not None:
            raise _Unclear("anchors and aliases are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise _Unclear("the body is nested too deeply")


class _Loader(yaml.CSafeLoader):
    """Loads plain data only: no repeated keys, and no dates."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if not all(isinstance(key, str) for key in keys):
            raise _Unclear("a key is not a string")
        if len(set(keys)) < len(keys):
            raise _Unclear("a key is repeated")
        return super().construct_mapping(node, deep)


# In JSON a date is a string.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _plain(value: Any) -> Any:
    """Return a value as JSON would have it. Raises _Unclear."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise _Unclear("the body has a value that JSON can't represent")
