"""External systems on loopback that have workflows: their API responses as each documents them, and their
webhooks.
"""

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.support.servers.answering import Answer, Asked, answering


@dataclass
class Outside:
    """``pages`` has the responses to GET, by path and query. A number is a status, bytes are sent unchanged,
    and None closes the connection without a response.
    """

    url: str = ""
    pages: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextlib.contextmanager
def outside() -> Iterator[Outside]:
    """Yield a running system."""
    system = Outside()

    def answer(asked: Asked) -> Answer:
        path = unquote(asked.path)
        system.asked.append((path, {name.lower(): value for name, value in asked.headers.items()}))
        page = system.pages.get(path, 404)
        if page is None:
            return None
        if isinstance(page, int):
            return page, {"Location": f"{system.url}/elsewhere"} if 300 <= page < 400 else {}, b""
        return 200, {}, page if isinstance(page, bytes) else json.dumps(page).encode()

    with answering(answer) as port:
        system.url = f"http://127.0.0.1:{port}"
        yield system


def pagerduty_incident(
    outside_id: str = "Q1ABCDEF2GHIJK", status: str = "triggered", **more
) -> dict[str, Any]:
    """Return an incident in the form of GET /incidents/{id} of PagerDuty's REST API v2."""
    return {
        "incident": {
            "id": outside_id,
            "type": "incident",
            "summary": "[#1234] Checkout is slow",
            "title": "Checkout is slow",
            "html_url": f"https://acme.pagerduty.com/incidents/{outside_id}",
            "incident_number": 1234,
            "status": status,
            "urgency": "high",
            "priority": {"id": "P53ZZH5", "type": "priority_reference", "summary": "P1"},
            "service": {"id": "PIJ90N7", "type": "service_reference", "summary": "Checkout"},
            "escalation_policy": {"id": "PANZZEQ", "type": "escalation_policy_reference", "summary": "Web"},
            "first_trigger_log_entry": pagerduty_entry("trigger", "PBOB001"),
            "assignments": [
                {
                    "at": "2026-11-10T00:31:52Z",
                    "assignee": {
                        "id": "PXPGF42",
                        "type": "user",
                        "summary": "Alice",
                        "email": "Alice@example.com",
                    },
                },
            ],
            **more,
        }
    }


def pagerduty_on_call(*emails: str) -> dict[str, Any]:
    """Return who is on call in the form of GET /oncalls."""
    users = [{"id": f"P{n}", "type": "user", "email": email} for n, email in enumerate(emails)]
    return {"oncalls": [{"user": user, "escalation_level": 1} for user in users], "limit": 100, "more": False}


def pagerduty_entry(kind: str, agent: str, at: str = "2026-11-10T00:31:52Z", **more) -> dict[str, Any]:
    """Return an entry of an incident's log. ``agent`` is the id of a user, who can choose the summary, or of
    a service, which begins with PS.
    """
    what = "service_reference" if agent.startswith("PS") else "user_reference"
    return {
        "id": "R2XGXEI3W0FHMSDXHDIBQGBQ5E",
        "type": f"{kind}_log_entry",
        "created_at": at,
        "agent": {"id": agent, "type": what, "summary": "dora@example.com"},
        **more,
    }


def tell_pagerduty(
    system: Outside,
    outside_id: str,
    status: str = "triggered",
    on_call: tuple[str, ...] = (),
    log: tuple[dict[str, Any], ...] = (),
    users: dict[str, str] | None = None,
    **more,
) -> None:
    """Let the system answer about one incident like PagerDuty.

    ``users`` maps ids to addresses; PBOB001 opens it.
    """
    asked = f"/incidents/{outside_id}?include[]=assignees&include[]=first_trigger_log_entries"
    system.pages[asked] = pagerduty_incident(outside_id, status, **more)
    for page in range(0, len(log) + 1, 100):
        system.pages[f"/incidents/{outside_id}/log_entries?limit=100&offset={page}"] = {
            "log_entries": log[page : page + 100],
            "limit": 100,
            "offset": page,
            "more": len(log) > page + 100,
        }
    for user, email in {"PBOB001": "Bob@example.com", **(users or {})}.items():
        system.pages[f"/users/{user}"] = {"user": {"id": user, "type": "user", "email": email}}
    system.pages["/oncalls?escalation_policy_ids[]=PANZZEQ&include[]=users&limit=100"] = pagerduty_on_call(
        *on_call
    )


def tell_github(
    system: Outside,
    release: str,
    run_id: int = 77001,
    job_id: int = 550077,
    status: str = "in_progress",
    conclusion: str | None = None,
) -> None:
    """Let the system answer about one job of a release like GitHub."""
    repository = {"id": 9001, "full_name": "acme/payments"}
    system.pages[f"/repositories/9001/actions/jobs/{job_id}"] = {
        "id": job_id,
        "run_id": run_id,
        "run_attempt": 1,
        "status": status,
        "conclusion": conclusion,
        "name": "deploy",
        "html_url": "https://github.com/acme/payments",
    }
    system.pages[f"/repositories/9001/actions/runs/{run_id}"] = {
        "id": run_id,
        "event": "release",
        "head_branch": release,
        "head_sha": "4f1c0d2e9ab7",
        "display_title": release,
        "path": ".github/workflows/deploy.yml",
        "repository": repository,
        "actor": {"login": "octocat"},
        "triggering_actor": {"login": "octocat"},
    }


def tell_gitlab(system: Outside, release: str) -> None:
    """Let the system answer about one job of a tag like GitLab."""
    system.pages["/api/v4/projects/22/jobs/4711"] = {
        "id": 4711,
        "status": "running",
        "name": "deploy",
        "stage": "deploy",
        "ref": release,
        "tag": True,
        "commit": {"id": "4f1c0d2e9ab7"},
        "pipeline": {"id": 901},
        "user": {"username": "octocat"},
        "web_url": "https://gitlab.com/acme/payments/-/jobs/4711",
    }


def pagerduty_event(outside_id: str, kind: str, status: str, event_id: str = "01ABC") -> bytes:
    """Return a delivery in the form of PagerDuty's webhooks v3."""
    return json.dumps(
        {
            "event": {
                "id": event_id,
                "event_type": kind,
                "resource_type": "incident",
                "occurred_at": "2026-11-10T00:31:52.000Z",
                "agent": None,
                "client": None,
                "data": {"id": outside_id, "type": "incident", "status": status, "title": "Checkout is slow"},
            }
        }
    ).encode()


def signed_by_pagerduty(secret: str, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery by PagerDuty."""
    return {"X-PagerDuty-Signature": "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def signed_by_github(secret: str, body: bytes, event: str) -> dict[str, str]:
    """Return the headers of a delivery by GitHub."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "X-Hub-Signature-256": f"sha256={digest}",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": "72d3162e",
    }


def signed_by_standard(secret: str, body: bytes, sent: int, wid: str = "msg_1") -> dict[str, str]:
    """Return the headers of a delivery by Standard Webhooks 1.0."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{wid}.{sent}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": wid,
        "webhook-timestamp": str(sent),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }
