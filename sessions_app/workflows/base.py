"""The interface of workflow sources: report the status of a workflow, and verify the source's own webhooks.

A webhook can only end access, so acting on it is always safe. To start or extend access, Stint calls
``status``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

# The time limit of one request to a source, in seconds.
CALL_SECONDS = 5.0
# The maximum size of a response and of a delivery, in bytes.
MAX_ANSWER = 1024 * 1024
MAX_DELIVERY = 1024 * 1024
LONGEST_ID = 120
# The maximum number of people to read from one list.
MOST_NAMES = 100
# No one plans beyond these dates. Times far beyond them can't be shown in every time zone, or stored in the
# database.
EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(2100, 12, 31, tzinfo=dt.UTC)


class Standing(StrEnum):
    """The status of a workflow at its source."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class SourceError(Exception):
    """A source gave no usable response. The message gives the problem and the fix."""


class OddAnswer(SourceError):
    """A source gave no usable response about one workflow. This says nothing about other workflows."""


class InTrouble(SourceError):
    """A source failed or refused a query about one workflow.

    Queries about other workflows show whether the whole source is affected.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"The source gave no status: {why}")


class DeliveryRefused(Exception):
    """A delivery does not prove that the source sent it, or sent it recently.

    The message states what is missing.
    """


class NotAnId(ValueError):
    """The text can't be an ID of the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A source's response about a workflow.

    ``outside_id`` is the source's own ID of an open workflow, for example a number, which may differ from the
    queried ID. ``assigned`` and ``on_call`` are email addresses or names in lowercase. ``services`` are IDs
    and names of the affected services. ``values`` maps names to strings that commands can be bound to.
    ``reason`` is why the workflow is not open.

    ``opened_by`` are the people who opened it, and ``changed_by`` those who last changed its severity,
    urgency or assignees, in the same format; systems are listed by ID. An empty ``opened_by``, or None in
    ``changed_by``, means that the source does not report it. Neither may contain values that a requester
    could choose, such as an editable name.
    """

    standing: Standing
    outside_id: str = ""
    title: str = ""
    url: str = ""
    severity: str = ""
    kind: str = ""
    assigned: tuple[str, ...] = ()
    on_call: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    starts_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    opened_by: tuple[str, ...] = ()
    changed_by: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A verified delivery. ``key`` is unique, because it is derived from the signed content."""

    key: str
    event: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A delivery's claim about one workflow.

    With ``whole``, the hint covers all workflows whose outside ID begins with ``outside_id`` and a colon.
    """

    outside_id: str
    closed: bool
    whole: bool = False


class SourceParameters(BaseModel):
    """Connection settings of a source.

    Fields of type SecretStr are stored encrypted, and never shown, logged or recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Adapter(Protocol):
    """Reads the workflows of one provider. Can be called from several threads."""

    def status(self, outside_id: str) -> Status:
        """Query the source about one workflow, for at most ``CALL_SECONDS`` per request.

        Raises SourceError; OddAnswer if only this workflow is affected; InTrouble if it is unknown whether
        others are affected; and NotAnId for an invalid ID.
        """

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: dt.datetime
    ) -> Delivery:
        """Verify, with one of the secrets, that the source sent these bytes.

        Header names are in lowercase. Raises DeliveryRefused.
        """

    def parse(self, body: bytes) -> list[Hint]:
        """Return the hints in a verified delivery; empty for unknown events.

        Raises ValueError for invalid JSON.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterType:
    """One provider. ``kind`` is the default kind of its workflows."""

    provider: str
    title: str
    kind: str
    make: Callable[[Any], Adapter]
    parameters: type[SourceParameters]


def secret_fields(model: type[SourceParameters]) -> frozenset[str]:
    """Return the names of the secret fields."""
    return frozenset(
        name
        for name, about in model.model_fields.items()
        if about.annotation in (SecretStr, SecretStr | None)
    )


def _safe_address(text: str) -> str:
    parts = urlsplit(text)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ValueError("must be https://, because a secret is sent there")
    if not parts.hostname or parts.username or parts.fragment:
        raise ValueError("is not a URL: use https://host/path")
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(_safe_address)]


def hex_digest(secret: str, body: bytes) -> str:
    """Return HMAC-SHA256 of the body in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two strings are equal, compared in constant time. A non-ASCII string equals nothing."""
    return one.isascii() and other.isascii() and hmac.compare_digest(one, other)


def body_key(body: bytes) -> str:
    """Return the key of a delivery whose sender signs only the body."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def text_of(value: Any, longest: int = 200) -> str:
    """Return a value from an external response as printable text; empty if it is not text or a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return "".join(char for char in str(value) if char.isprintable())[:longest].strip()


def id_of(value: Any, pattern: re.Pattern[str]) -> str:
    """Return an ID from an external response; empty if it does not have the form of the source's IDs."""
    found = text_of(value)
    return found if pattern.fullmatch(found) else ""


def moment_of(value: Any) -> dt.datetime | None:
    """Convert an ISO 8601 time with a time zone to UTC; return None for anything else.

    A time beyond the planning limits becomes the limit. If it became None, workflows would start early, and
    finished ones would stay open.
    """
    try:
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
    if moment is None or moment.tzinfo is None:
        return None
    # Compare before the conversion, which fails near the limits of datetime.
    return min(max(moment, EARLIEST), LATEST).astimezone(dt.UTC)


def names_of(values: Any) -> tuple[str, ...]:
    """Return the strings in lowercase, without duplicates, at most 100."""
    found = [text_of(value).casefold() for value in values] if isinstance(values, list | tuple) else []
    return tuple(dict.fromkeys(name for name in found if name))[:MOST_NAMES]


def at(data: Any, *path: str | int) -> Any:
    """Return the value at a path in external JSON; None if there is none."""
    for part in path:
        if isinstance(data, dict) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def each(data: Any, *path: str | int) -> list[Any]:
    """Return the list at a path in external JSON; empty if there is none."""
    found = at(data, *path)
    return found if isinstance(found, list) else []


def event_of(body: bytes, *path: str) -> str:
    """Return the event type at a path of a delivery; empty if the delivery can't be parsed."""
    try:
        return text_of(at(json.loads(body), *path), 100)
    except (ValueError, RecursionError):
        return ""
