"""Incidents in PagerDuty (REST API v2, webhooks v3).

Sources: https://developer.pagerduty.com/docs/webhooks/v3-overview and …/api-reference.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, SecretStr

from sessions_app.workflows.asking import ask
from sessions_app.workflows.base import (
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
    body_key,
    each,
    event_of,
    hex_digest,
    id_of,
    names_of,
    same,
    text_of,
)

_ID = re.compile(r"[A-Z0-9]{5,32}")
_SEVERITY = re.compile(r"P[1-4]")
_OPEN = ("triggered", "acknowledged")
_CLOSING = ("incident.resolved",)


class Parameters(SourceParameters):
    """Connection settings for PagerDuty."""

    url: Address = Field(
        default="https://api.pagerduty.com", description="The API URL; https://api.eu.pagerduty.com in Europe"
    )
    token: SecretStr = Field(description="A read-only API access key")


class PagerDuty:
    """Reads incidents, and the people on call for the escalation policy of each."""

    def __init__(self, parameters: Parameters) -> None:
        self._url = parameters.url
        self._token = parameters.token

    def status(self, outside_id: str) -> Status:
        """Ask for one incident and, if it is open, for the people on call. Raises SourceError, NotAnId."""
        if not _ID.fullmatch(outside_id):
            raise NotAnId("A PagerDuty incident has an ID like Q1ABCDEF2GHIJK.")
        incident = at(self._ask(f"/incidents/{outside_id}?include[]=assignees"), "incident")
        if incident is None:
            return Status(standing=Standing.UNKNOWN, reason="PagerDuty has no such incident.")
        status = text_of(at(incident, "status"))
        if status == "resolved":
            return Status(standing=Standing.CLOSED, reason="It is resolved.")
        if status not in _OPEN:
            return Status(standing=Standing.UNKNOWN, reason=f"Its status is “{status}”.")
        return self._open(incident, status)

    def _open(self, incident: Any, status: str) -> Status:
        service = at(incident, "service")
        severity = text_of(at(incident, "priority", "summary"))
        values = {
            "number": text_of(at(incident, "incident_number")),
            "service": text_of(at(service, "summary")),
            "service_id": text_of(at(service, "id")),
            "urgency": text_of(at(incident, "urgency")),
            "status": status,
        }
        return Status(
            standing=Standing.OPEN,
            # It also answers about the number of an incident.
            outside_id=id_of(at(incident, "id"), _ID),
            title=text_of(at(incident, "title")) or text_of(at(incident, "summary")),
            url=text_of(at(incident, "html_url"), 500),
            severity=severity if _SEVERITY.fullmatch(severity) else "",
            assigned=names_of([at(one, "assignee", "email") for one in each(incident, "assignments")]),
            on_call=self._on_call(text_of(at(incident, "escalation_policy", "id"))),
            services=tuple(filter(None, (values["service_id"], values["service"]))),
            values={name: value for name, value in values.items() if value},
        )

    def _on_call(self, policy: str) -> tuple[str, ...]:
        """Return the email addresses of the people who are on call for an escalation policy now."""
        if not _ID.fullmatch(policy):
            return ()
        answer = self._ask(f"/oncalls?escalation_policy_ids[]={policy}&include[]=users&limit=100")
        return names_of([at(one, "user", "email") for one in each(answer, "oncalls")])

    def _ask(self, path: str) -> Any:
        return ask(
            self._url + path,
            {
                "Accept": "application/vnd.pagerduty+json;version=2",
                "Authorization": f"Token token={self._token.get_secret_value()}",
            },
        )

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: dt.datetime
    ) -> Delivery:
        """Compare each `v1=` of `X-PagerDuty-Signature` with HMAC-SHA256 of the raw body. Raises DeliveryRefused."""
        given = [part.strip() for part in headers.get("x-pagerduty-signature", "").split(",")][:10]
        if not any(same("v1=" + hex_digest(secret, body), one) for secret in secrets for one in given):
            raise DeliveryRefused("X-PagerDuty-Signature does not match any secret of this source.")
        return Delivery(key=body_key(body), event=event_of(body, "event", "event_type"))

    def parse(self, body: bytes) -> list[Hint]:
        """Return a hint for an incident event."""
        event = at(json.loads(body), "event")
        kind, outside_id = text_of(at(event, "event_type")), text_of(at(event, "data", "id"))
        if not kind.startswith("incident.") or not _ID.fullmatch(outside_id):
            return []
        resolved = kind in _CLOSING or at(event, "data", "status") == "resolved"
        return [Hint(outside_id=outside_id, closed=resolved)]


def _make(parameters: Parameters) -> Adapter:
    return PagerDuty(parameters)


TYPE = AdapterType(
    provider="pagerduty", title="PagerDuty", kind="incident", make=_make, parameters=Parameters
)
