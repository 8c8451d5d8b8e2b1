"""Workflows of any system with a JSON API and webhooks signed as in Standard Webhooks
(https://www.standardwebhooks.com).

A delivery is `{"type": …, "data": {"id": …, "status": …}}`. A response has the ID and the status at ``root``.
The response can also have `title`, `url`, `severity`, `assignees`, `on_call`, `service`, `starts_at`,
`ends_at`, `opened_by`, `changed_by` and `facts`.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from sessions_app.workflows.asking import ask
from sessions_app.workflows.base import (
    MOST_NAMES,
    Adapter,
    AdapterType,
    Address,
    Delivery,
    DeliveryRefused,
    Hint,
    NotAnId,
    SourceParameters,
    Standing,
    Status,
    at,
    event_of,
    id_of,
    moment_of,
    names_of,
    same,
    text_of,
)

TOLERANCE = 300
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_FACT = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SEVERITY = re.compile(r"P[1-4]")
_MOST_FACTS = 50


class Parameters(SourceParameters):
    """Connection settings for the system."""

    url: Address = Field(description="URL of one workflow; {id} is replaced by the workflow's ID")
    token: SecretStr | None = Field(default=None, description="Sent as `Authorization: Bearer …`")
    kind: Literal["incident", "change", "ticket", "task", "pipeline"] = Field(
        default="ticket", description="Kind of the source's workflows"
    )
    root: str = Field(default="", description="Path to the workflow in the response, such as `result.0`")
    id: str = Field(default="id", description="Key of the ID, with the same value that webhooks send")
    status: str = Field(default="status", description="Key of the status")
    open: tuple[str, ...] = Field(default=("open",), min_length=1, description="Status values that mean open")
    closed: tuple[str, ...] = Field(
        default=("closed", "resolved", "cancelled", "canceled", "done"),
        min_length=1,
        description="Status values that mean closed; any other value is unknown",
    )

    @field_validator("url")
    @classmethod
    def _has_place(cls, url: str) -> str:
        if url.count("{id}") != 1:
            raise ValueError("needs {id} once, in place of the workflow's ID")
        return url


class Standard:
    """Reads JSON in a configured format."""

    def __init__(self, parameters: Parameters) -> None:
        self._with = parameters

    def status(self, outside_id: str) -> Status:
        """Query one workflow. Raises SourceError, NotAnId."""
        if not _ID.fullmatch(outside_id):
            raise NotAnId("An ID can contain only letters, digits, _ and -.")
        token = self._with.token
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        answer = ask(self._with.url.replace("{id}", outside_id), {"Accept": "application/json", **headers})
        workflow = at(
            answer, *(int(part) if part.isdecimal() else part for part in self._with.root.split(".") if part)
        )
        if not isinstance(workflow, dict):
            return Status(standing=Standing.UNKNOWN, reason="Workflow not found.")
        status = text_of(at(workflow, *self._with.status.split(".")))
        if status in self._with.closed:
            return Status(standing=Standing.CLOSED, reason=f"The workflow's status is “{status}”.")
        if status not in self._with.open:
            return Status(standing=Standing.UNKNOWN, reason=f"The workflow's status is “{status}”.")
        return self._open(workflow)

    def _open(self, workflow: dict[str, Any]) -> Status:
        facts = workflow.get("facts") if isinstance(workflow.get("facts"), dict) else {}
        values = {name: text_of(value) for name, value in list((facts or {}).items())[:_MOST_FACTS]}
        service, severity = text_of(workflow.get("service")), text_of(workflow.get("severity"))
        if service:
            values["service"] = service
        return Status(
            standing=Standing.OPEN,
            # Many systems ignore the case of an ID, or accept several IDs for one workflow.
            outside_id=id_of(at(workflow, *self._with.id.split(".")), _ID),
            kind=self._with.kind,
            title=text_of(workflow.get("title")),
            url=text_of(workflow.get("url"), 500),
            severity=severity if _SEVERITY.fullmatch(severity) else "",
            assigned=names_of(workflow.get("assignees")),
            on_call=names_of(workflow.get("on_call")),
            services=(service,) if service else (),
            starts_at=moment_of(workflow.get("starts_at")),
            ends_at=moment_of(workflow.get("ends_at")),
            values={name: value for name, value in values.items() if value and _FACT.fullmatch(name)},
            opened_by=names_of([workflow.get("opened_by")]),
            changed_by=_changed_by(workflow.get("changed_by")),
        )

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: dt.datetime
    ) -> Delivery:
        """Check the signature over ID, time and body. Raises DeliveryRefused."""
        key = verify_standard(headers, body, secrets, now)
        return Delivery(key=key, event=event_of(body, "type"))

    def parse(self, body: bytes) -> list[Hint]:
        """Return a hint for a delivery that names a workflow."""
        data = at(json.loads(body), "data")
        outside_id, status = text_of(at(data, "id")), text_of(at(data, *self._with.status.split(".")))
        return (
            [Hint(outside_id=outside_id, closed=status in self._with.closed)]
            if _ID.fullmatch(outside_id)
            else []
        )


def _changed_by(names: Any) -> tuple[str, ...] | None:
    """Return the people who last changed the workflow; None if the response has no list of names,
    because a missing name could be anyone's.
    """
    found = names_of(names)
    whole = isinstance(names, list) and len(names) <= MOST_NAMES and all(text_of(name) for name in names)
    return found if whole else None


def verify_standard(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: dt.datetime) -> str:
    """Check `webhook-signature` (v1: HMAC-SHA256 of `id.timestamp.body`) and return the signed ID.

    The timestamp may differ by up to five minutes. Secrets are `whsec_` and base64. Raises DeliveryRefused.
    """
    wid, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 1 <= len(wid) <= 150 or not wid.isascii() or not wid.isprintable():
        raise DeliveryRefused("webhook-id is missing or too long.")
    if not re.fullmatch(r"[0-9]{1,12}", sent) or abs(now.timestamp() - int(sent)) > TOLERANCE:
        raise DeliveryRefused("webhook-timestamp is missing or more than five minutes off.")
    message = f"{wid}.{sent}.".encode() + body
    given = headers.get("webhook-signature", "").split(" ")[:10]
    expected = [_signature(key, message) for secret in secrets if (key := key_of(secret))]
    if not any(same(one, other) for one in expected for other in given):
        raise DeliveryRefused("webhook-signature does not match any secret of this source.")
    return wid


def key_of(secret: str) -> bytes:
    """Return the key in `whsec_…`; empty if the secret is not of this form."""
    try:
        key = (
            base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            if secret.startswith("whsec_")
            else b""
        )
    except binascii.Error:
        return b""
    return key


def _signature(key: bytes, message: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def _make(parameters: Parameters) -> Adapter:
    return Standard(parameters)


TYPE = AdapterType(
    provider="standard",
    title="Other (Standard Webhooks)",
    kind="ticket",
    make=_make,
    parameters=Parameters,
)
