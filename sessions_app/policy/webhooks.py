"""Outgoing webhooks: the document of an endpoint, the events that can be sent, and the format of messages."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from broker.audit.events import Event
from sessions_app.policy.policies import Who
from sessions_app.policy.policy_part import Name

# Standard Webhooks 1.0: `whsec_` and the base64 of 24 to 64 bytes.
SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix of keys
SHORTEST_KEY, LONGEST_KEY = 24, 64
TEST_EVENT = "webhook.test"
# A summary that policy endpoints receive instead of many messages about one person's requests to approvers.
DIGEST_EVENT = "approvals.digest"
_TEXT: Mapping[str, Any] = {"type": "string"}
_TEXTS: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}
_COUNT: Mapping[str, Any] = {"type": "integer"}
_TIME: Mapping[str, Any] = {"type": ["string", "null"], "format": "date-time"}
_FLAG: Mapping[str, Any] = {"type": "boolean"}
LONGEST_URL = 500


@dataclass(frozen=True, slots=True)
class Sent:
    """One event that can be sent: its meaning, the facts of its entry that are sent, and their JSON
    Schema.
    """

    summary: str
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


# An allowlist: events and facts that are not listed here are never sent.
EVENTS: Mapping[str, Sent] = {
    Event.REQUEST_CREATED.value: Sent(
        "A request was submitted",
        {
            "kind": _TEXT,
            "targets": _TEXTS,
            "starts_at": _TIME,
            "duration": _COUNT,
            "reason": _TEXT,
            "ticket": _TEXT,
        },
    ),
    Event.REQUEST_APPROVED.value: Sent(
        "An approver approved the request", {"settled": _FLAG, "missing": _COUNT}
    ),
    Event.REQUEST_DENIED.value: Sent("An approver denied the request", {"comment": _TEXT}),
    Event.REQUEST_APPROVAL_WITHDRAWN.value: Sent("An approver withdrew an approval just given"),
    Event.REQUEST_WITHDRAWN.value: Sent("The requester withdrew the request"),
    Event.REQUEST_LAPSED.value: Sent("The request timed out"),
    Event.REQUEST_REMINDED.value: Sent("The requester reminded the approvers", {"notified": _TEXTS}),
    Event.REQUEST_ESCALATED.value: Sent(
        "A request was escalated", {"notified": _TEXTS, "step": _COUNT, "waited": _COUNT}
    ),
    Event.GRANT_SCHEDULED.value: Sent("A grant was created and is scheduled", {"expires_at": _TIME}),
    Event.GRANT_ACTIVE.value: Sent("Access started"),
    Event.GRANT_EXTENDED.value: Sent("A grant was extended", {"expires_at": _TIME}),
    Event.GRANT_HELD.value: Sent(
        "A grant was suspended, by a person or after too many refused commands",
        {"note": _TEXT, "refused": _COUNT, "tried": _TEXTS},
    ),
    Event.GRANT_RELEASED.value: Sent("A suspended grant was resumed", {"note": _TEXT}),
    Event.GRANT_REVOKING.value: Sent(
        "A grant began to end; nothing new can run", {"reason": _TEXT, "note": _TEXT}
    ),
    Event.GRANT_REVOKE_FAILING.value: Sent(
        "A target did not confirm the revocation; Stint retries", {"attempts": _COUNT}
    ),
    Event.GRANT_ENDED.value: Sent("Revocation is confirmed on all targets", {"reason": _TEXT}),
    Event.COMMAND_REFUSED.value: Sent(
        "A command was refused", {"target": _TEXT, "line": _TEXT, "why": _TEXT, "count": _COUNT}
    ),
    Event.COMMAND_HELD.value: Sent(
        "A held command is waiting for approval", {"target": _TEXT, "argv": _TEXTS}
    ),
    Event.COMMAND_HOLD_DECIDED.value: Sent(
        "A held command was allowed, denied or timed out",
        {"target": _TEXT, "argv": _TEXTS, "allowed": _FLAG, "lapsed": _FLAG},
    ),
    Event.COMMAND_ESCALATED.value: Sent(
        "A held command was escalated", {"notified": _TEXTS, "step": _COUNT, "waited": _COUNT}
    ),
    Event.BREAKGLASS_STARTED.value: Sent(
        "Access started without approval: break-glass, or an incident that may be the holder's own",
        {"reason": _TEXT, "incident": _TEXT},
    ),
    Event.BREAKGLASS_REVIEWED.value: Sent("Access without approval was reviewed", {"note": _TEXT}),
    Event.BREAKGLASS_OVERDUE.value: Sent(
        "The review of access without approval is overdue", {"notified": _TEXTS}
    ),
    Event.BREAKGLASS_ESCALATED.value: Sent(
        "A review was escalated", {"notified": _TEXTS, "step": _COUNT, "waited": _COUNT}
    ),
    Event.WORKFLOW_OPENED.value: Sent("A workflow was opened", {"kind": _TEXT, "title": _TEXT}),
    Event.WORKFLOW_CLOSED.value: Sent("A workflow was closed, and its grants end", {"grants_ended": _COUNT}),
    Event.IDENTITY_DISABLED.value: Sent("An identity was disabled"),
    Event.RECORD_BROKEN.value: Sent("A verification of the record failed"),
}


# Events that every endpoint can receive.
OTHERS: Mapping[str, Sent] = {
    TEST_EVENT: Sent("A test message"),
    DIGEST_EVENT: Sent(
        "One person has further pending requests and held commands, for which no individual messages "
        "were sent",
        {
            "count": _COUNT,
            "refs": {**_TEXTS, "description": "References of requests, and of grants with held commands"},
        },
    ),
}


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("is not a URL: use https://hooks.example.com/stint") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise ValueError("must be a full URL, such as https://hooks.example.com/stint")
    if parts.username is not None or parts.password is not None:
        raise ValueError("contains a username or password: remove it; messages are signed instead")
    if parts.fragment or not text.isascii() or any(mark <= " " or mark in '"<>\\^`{|}' for mark in text):
        raise ValueError("contains a fragment, a space or an invalid character: percent-encode it")
    return text


def _event(text: str) -> str:
    if text not in EVENTS:
        raise ValueError(f"unknown event {text}: see /schemas/webhook-messages.json for the list")
    return text


class WebhookDocument(BaseModel):
    """A receiver of messages, which are signed according to Standard Webhooks 1.0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    summary: str = Field(default="", max_length=200)
    url: Annotated[str, Field(max_length=LONGEST_URL), AfterValidator(_url)] = Field(
        description="HTTPS URL that receives the messages"
    )
    events: tuple[Annotated[str, AfterValidator(_event)], ...] = Field(min_length=1, max_length=100)
    scope: Literal["policies", "everything"] = Field(
        default="policies",
        description="The events to send: those under policies that name this webhook, or all",
    )
    owners: Who | None = Field(
        default=None,
        description=(
            "Notified when deliveries fail; can view, pause and replay the webhook and rotate its key. "
            "Default: Stint administrators"
        ),
    )
    secret: str | Mapping[str, str] | None = Field(
        default=None,
        description="The signing key, `whsec_…`, {env: NAME} or {file: PATH}. Stint generates one by default",
    )

    @property
    def host(self) -> str:
        """The host of the URL. Logs and the record contain no other part of the URL."""
        return urlsplit(self.url).hostname or ""


def key_of_secret(text: str) -> bytes:
    """Return the bytes of a signing secret. Raises ValueError with the fix."""
    try:
        if not text.startswith(SECRET_PREFIX):
            raise ValueError
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ValueError(
            "must be `whsec_` and the base64 of 24 to 64 bytes; leave it out to have one generated"
        )
    return key


def secret_of_key(key: bytes) -> str:
    """Return the text form of a signing secret."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The object of an event, with its human-readable names. Empty if the event has no object."""

    type: str
    ref: str
    url: str
    actor: str
    names: Mapping[str, Any] = field(default_factory=dict)


def message(
    *, event: str, at: dt.datetime, entry: int | None, about: Subject, data: Mapping[str, Any]
) -> str:
    """Return the JSON text of a message: references, names, and only the facts that ``EVENTS`` lists."""
    known = {**EVENTS, **OTHERS}[event].facts
    body = {
        "type": event,
        "timestamp": at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "entry": entry,
            "object": {"type": about.type, "ref": about.ref},
            "actor": about.actor,
            "url": about.url,
            **about.names,
            "details": {name: data[name] for name in known if name in data},
        },
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


# Names in messages about requests and grants. Each name is present if the object has it.
NAMES: Mapping[str, Mapping[str, Any]] = {
    "request": {**_TEXT, "description": "REQ-1042"},
    "grant": {**_TEXT, "description": "GR-7F3K"},
    "holder": {**_TEXT, "description": "The requester or holder"},
    "holder_kind": {"enum": ["person", "service", "agent"]},
    "cluster": _TEXT,
    "command_set": {**_TEXT, "description": "restart-web v3"},
    "policy": _TEXT,
    "workflow": {"type": ["string", "null"], "description": "The workflow that the access is for"},
    "starts_at": _TIME,
    "expires_at": _TIME,
}


def message_schema(events: Iterable[str] = tuple(EVENTS)) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the messages for these events."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Messages of outgoing webhooks",
        "oneOf": [
            _one(event, sent) for event, sent in {**{name: EVENTS[name] for name in events}, **OTHERS}.items()
        ],
    }


def _one(event: str, sent: Sent) -> dict[str, Any]:
    details = {"type": "object", "properties": dict(sent.facts), "additionalProperties": False}
    about = {"type": "object", "properties": {"type": _TEXT, "ref": _TEXT}, "required": ["type", "ref"]}
    own = {
        "entry": {"type": ["integer", "null"], "description": "Sequence number of the entry in the record"},
        "object": about,
        "actor": _TEXT,
        "url": {**_TEXT, "format": "uri"},
        "details": details,
    }
    return {
        "title": event,
        "description": sent.summary,
        "type": "object",
        "properties": {
            "type": {"const": event},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {
                "type": "object",
                "properties": {**own, **NAMES},
                "required": list(own),
                "additionalProperties": False,
            },
        },
        "required": ["type", "timestamp", "data"],
        "additionalProperties": False,
    }
