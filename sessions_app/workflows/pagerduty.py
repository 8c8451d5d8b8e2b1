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
    LATEST,
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
    moment_of,
    names_of,
    same,
    text_of,
)

_ID = re.compile(r"[A-Z0-9]{5,32}")
_SEVERITY = re.compile(r"P[1-4]")
_OPEN = ("triggered", "acknowledged")
_CLOSING = ("incident.resolved",)
# Kinds of log entries that never change the priority, the urgency or the assignees. Every other kind may.
_NO_CHANGE = frozenset(
    f"{kind}_log_entry"
    for kind in (
        "trigger",
        "acknowledge",
        "unacknowledge",
        "annotate",
        "notify",
        "snooze",
        "resolve",
        "reach_ack_limit",
        "reach_trigger_limit",
        "exhaust_escalation_path",
        "repeat_escalation_path",
    )
)
_ACKNOWLEDGED = "acknowledge_log_entry"
# The number of entries on one page of the log, and the maximum number of pages to read.
_PAGE, _MOST_PAGES = 100, 5


class Parameters(SourceParameters):
    """Connection settings for PagerDuty."""

    url: Address = Field(
        default="https://api.pagerduty.com", description="The API URL; https://api.eu.pagerduty.com in Europe"
    )
    token: SecretStr = Field(description="A read-only API access key")


class PagerDuty:
    """Reads incidents, the people who opened and changed them, and the people on call for their escalation
    policies.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._url = parameters.url
        self._token = parameters.token

    def status(self, outside_id: str) -> Status:
        """Query one incident and, if it is open, the people behind it. Raises SourceError, NotAnId."""
        if not _ID.fullmatch(outside_id):
            raise NotAnId("A PagerDuty incident has an ID like Q1ABCDEF2GHIJK.")
        incident = at(
            self._ask(f"/incidents/{outside_id}?include[]=assignees&include[]=first_trigger_log_entries"),
            "incident",
        )
        if incident is None:
            return Status(standing=Standing.UNKNOWN, reason="PagerDuty has no such incident.")
        status = text_of(at(incident, "status"))
        if status == "resolved":
            return Status(standing=Standing.CLOSED, reason="The incident is resolved.")
        if status not in _OPEN:
            return Status(standing=Standing.UNKNOWN, reason=f"The incident's status is “{status}”.")
        return self._open(incident, status)

    def _open(self, incident: Any, status: str) -> Status:
        outside_id, service = id_of(at(incident, "id"), _ID), at(incident, "service")
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
            # The API also accepts the number of an incident.
            outside_id=outside_id,
            title=text_of(at(incident, "title")) or text_of(at(incident, "summary")),
            url=text_of(at(incident, "html_url"), 500),
            severity=severity if _SEVERITY.fullmatch(severity) else "",
            assigned=names_of([at(one, "assignee", "email") for one in each(incident, "assignments")]),
            on_call=self._on_call(text_of(at(incident, "escalation_policy", "id"))),
            services=tuple(filter(None, (values["service_id"], values["service"]))),
            values={name: value for name, value in values.items() if value},
            opened_by=self._names([at(incident, "first_trigger_log_entry", "agent")]),
            changed_by=self._changed_by(outside_id),
        )

    def _on_call(self, policy: str) -> tuple[str, ...]:
        """Return the email addresses of the people who are on call for an escalation policy now."""
        if not _ID.fullmatch(policy):
            return ()
        answer = self._ask(f"/oncalls?escalation_policy_ids[]={policy}&include[]=users&limit=100")
        return names_of([at(one, "user", "email") for one in each(answer, "oncalls")])

    def _changed_by(self, outside_id: str) -> tuple[str, ...] | None:
        """Return who last changed an incident, for each kind of change; None if the incident's log is too
        long.
        """
        entries: list[Any] = []
        for page in range(_MOST_PAGES):
            answer = self._ask(f"/incidents/{outside_id}/log_entries?limit={_PAGE}&offset={page * _PAGE}")
            entries += each(answer, "log_entries")
            if at(answer, "more") is False:
                return self._names(_changers(entries))
        return None

    def _names(self, agents: Sequence[Any]) -> tuple[str, ...]:
        """Return the email addresses of users, and the IDs of anything else.

        People can edit their names in PagerDuty, so names never identify them.
        """
        found = {text_of(at(agent, "id")): _is_user(agent) for agent in agents}
        return names_of([self._email(one) or one if user else one for one, user in found.items() if one])

    def _email(self, user: str) -> str:
        return text_of(at(self._ask(f"/users/{user}"), "user", "email")) if _ID.fullmatch(user) else ""

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
        """Compare each `v1=` of `X-PagerDuty-Signature` with HMAC-SHA256 of the raw body. Raises
        DeliveryRefused.
        """
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


def _changers(entries: Sequence[Any]) -> list[Any]:
    """Return the users who last made each kind of change.

    PagerDuty's own changes, such as an escalation, belong to no one. A user who acknowledges an incident
    without being assigned to it becomes its assignee.
    """
    assigned = {text_of(at(one, "id")) for entry in entries for one in each(entry, "assignees")}
    last: dict[str, tuple[dt.datetime, Any]] = {}
    for entry in entries:
        kind, agent = text_of(at(entry, "type")), at(entry, "agent")
        taken = kind == _ACKNOWLEDGED and text_of(at(agent, "id")) not in assigned
        moment = moment_of(at(entry, "created_at")) or LATEST
        if (taken or kind not in _NO_CHANGE) and (kind not in last or moment >= last[kind][0]):
            last[kind] = (moment, agent)
    return [agent for _, agent in last.values() if _is_user(agent)]


def _is_user(agent: Any) -> bool:
    return text_of(at(agent, "type")) in ("user", "user_reference")


def _make(parameters: Parameters) -> Adapter:
    return PagerDuty(parameters)


TYPE = AdapterType(
    provider="pagerduty", title="PagerDuty", kind="incident", make=_make, parameters=Parameters
)
