"""What every source of work promises: to say how a workflow stands, and to know its own webhooks.

A webhook only ends access, so that what it says is a hint that is always safe to follow. What begins or lengthens access
asks ``status``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

# No question to a source takes longer, in seconds.
CALL_SECONDS = 5.0
# The largest answer and the largest delivery that are read, in bytes.
MAX_ANSWER = 1024 * 1024
MAX_DELIVERY = 1024 * 1024
LONGEST_ID = 120
# Further off nobody plans, and what every zone's clock can show and the database give back ends not far beyond.
EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(2100, 12, 31, tzinfo=dt.UTC)


class Standing(StrEnum):
    """How a workflow stands."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class SourceError(Exception):
    """A source gave no answer that can be used; the message says what is wrong and what to do."""


class OddAnswer(SourceError):
    """A source answered, but nothing that can be used, to the question about one workflow; of others that says nothing."""


class InTrouble(SourceError):
    """A source answered the question about one workflow by saying that it failed; others show whether all of it does."""

    MARK = "It has an internal error"

    def __init__(self, why: str) -> None:
        super().__init__(f"{self.MARK}: {why}")


class DeliveryRefused(Exception):
    """A delivery does not prove that the source sent it, or sent it lately; the message says what is missing."""


class NotAnId(ValueError):
    """A text that the source can't have given as an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a source says of a workflow.

    ``assigned`` and ``on_call`` are mail addresses, or names, in lowercase. ``services`` are ids and names of what it
    concerns. ``values`` are texts by name, for commands that are bound to them. ``reason`` says why it is not open.
    """

    standing: Standing
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery that proved where it comes from. ``key`` can't come twice: what of it the sender signed."""

    key: str
    event: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What a delivery says of one workflow, or of all whose outside id begins with ``outside_id`` and a colon."""

    outside_id: str
    closed: bool
    whole: bool = False


class SourceParameters(BaseModel):
    """How a source is asked. Fields of type SecretStr are stored encrypted, and shown, logged and recorded nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Adapter(Protocol):
    """Reads work of one provider. May be called from any number of threads."""

    def status(self, outside_id: str) -> Status:
        """Ask the source, for at most ``CALL_SECONDS`` a question. Raises SourceError, OddAnswer where that is of this work
        alone, InTrouble where it may be, and NotAnId for what is no id.
        """

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: dt.datetime
    ) -> Delivery:
        """Prove, by one of the secrets, that the source sent these bytes. Header names are in lowercase. Raises
        DeliveryRefused.
        """

    def parse(self, body: bytes) -> list[Hint]:
        """Return what a proven delivery says; nothing for what is not known. Raises ValueError for no JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterType:
    """One provider, before any of its sources is set up. ``kind`` is what its work is, where it does not say."""

    provider: str
    title: str
    kind: str
    make: Callable[[Any], Adapter]
    parameters: type[SourceParameters]


def secret_fields(model: type[SourceParameters]) -> frozenset[str]:
    """The names of the fields that hold secrets."""
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
    """Whether two texts are the same, in a time that tells nothing. Text that is not ASCII is like nothing."""
    return one.isascii() and other.isascii() and hmac.compare_digest(one, other)


def body_key(body: bytes) -> str:
    """Return the key of a delivery whose sender signs nothing but the body."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def text_of(value: Any, longest: int = 200) -> str:
    """Return a value of a foreign answer as text without what can't be seen; empty for what is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return "".join(char for char in str(value) if char.isprintable())[:longest].strip()


def moment_of(value: Any) -> dt.datetime | None:
    """Return a moment in ISO 8601 with a time zone, in UTC; None for anything else.

    One that is further off than anybody plans is the furthest there is: as none it would begin what has yet to begin, and
    keep open what is over.
    """
    try:
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
    if moment is None or moment.tzinfo is None:
        return None
    # Compared before it is converted, for what is near the end of time can't be.
    return min(max(moment, EARLIEST), LATEST).astimezone(dt.UTC)


def names_of(values: Any) -> tuple[str, ...]:
    """Return texts in lowercase, each once, at most a hundred."""
    found = [text_of(value).casefold() for value in values] if isinstance(values, list | tuple) else []
    return tuple(dict.fromkeys(name for name in found if name))[:100]


def at(data: Any, *path: str | int) -> Any:
    """Return what stands in foreign JSON at a path; None where there is nothing."""
    for part in path:
        if isinstance(data, dict) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def each(data: Any, *path: str | int) -> list[Any]:
    """Return the list that stands in foreign JSON at a path; an empty one for anything else."""
    found = at(data, *path)
    return found if isinstance(found, list) else []


def event_of(body: bytes, *path: str) -> str:
    """Return how a delivery calls itself; empty when it can't be read."""
    try:
        return text_of(at(json.loads(body), *path), 100)
    except (ValueError, RecursionError):
        return ""
