"""Jobs of GitHub Actions.

The outside ID is `{repository_id}:{run_id}:{run_attempt}:{job_id}`. A job has the ID of its check run.

Sources: https://docs.github.com/en/rest/actions/workflow-jobs and …/webhooks/webhook-events-and-payloads.
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
    hex_digest,
    id_of,
    names_of,
    same,
    text_of,
)

# GitHub ignores leading zeros, so an ID must not have any.
_ID = re.compile(r"[1-9][0-9]{0,17}:[1-9][0-9]{0,17}:[1-9][0-9]{0,5}:[1-9][0-9]{0,17}")
_OVER = ("success", "failure", "error", "inactive")


class Parameters(SourceParameters):
    """Connection settings for GitHub."""

    url: Address = Field(
        default="https://api.github.com",
        description="The API URL; https://host/api/v3 for GitHub Enterprise Server",
    )
    token: SecretStr = Field(description="A token with read-only access to the Actions of the repositories")


class GitHub:
    """Reads GitHub Actions jobs by repository ID, run ID, attempt and job ID."""

    def __init__(self, parameters: Parameters) -> None:
        self._url = parameters.url
        self._token = parameters.token

    def status(self, outside_id: str) -> Status:
        """Query one job, and its run. Raises SourceError, NotAnId."""
        if not _ID.fullmatch(outside_id):
            raise NotAnId(
                "A GitHub job has the form repository_id:run_id:run_attempt:job_id, in digits without leading"
                " zeros."
            )
        repository, run_id, attempt, job_id = outside_id.split(":")
        job = self._ask(f"/repositories/{repository}/actions/jobs/{job_id}")
        if job is None:
            return Status(standing=Standing.UNKNOWN, reason="GitHub has no such job.")
        if text_of(at(job, "run_id")) != run_id or text_of(at(job, "run_attempt")) != attempt:
            return Status(standing=Standing.UNKNOWN, reason="The job belongs to another run.")
        status = text_of(at(job, "status"))
        if status == "completed":
            return Status(
                standing=Standing.CLOSED, reason=f"The job ended: {text_of(at(job, 'conclusion'))}."
            )
        if status != "in_progress":
            return Status(
                standing=Standing.UNKNOWN, reason=f"The job is not running: its status is “{status}”."
            )
        own_id = id_of(f"{repository}:{run_id}:{attempt}:{text_of(at(job, 'id'))}", _ID)
        return self._running(own_id, job, self._ask(f"/repositories/{repository}/actions/runs/{run_id}"))

    def _running(self, own_id: str, job: Any, run: Any) -> Status:
        branch = text_of(at(run, "head_branch"))
        event = text_of(at(run, "event"))
        values = {
            "commit": text_of(at(run, "head_sha")),
            "branch": branch,
            # For the `release` event, GitHub puts the release's tag in this field.
            "release": branch if event == "release" else "",
            "event": event,
            "repository": text_of(at(run, "repository", "full_name")),
            "workflow": text_of(at(run, "path")),
            "job": text_of(at(job, "name")),
            "run": text_of(at(run, "id")),
        }
        return Status(
            standing=Standing.OPEN,
            outside_id=own_id,
            title=text_of(at(run, "display_title")) or values["job"],
            url=text_of(at(job, "html_url"), 500),
            services=tuple(filter(None, (text_of(at(run, "repository", "id")), values["repository"]))),
            values={name: value for name, value in values.items() if value},
            # Who started the run, and who started this attempt. A job itself can't be changed.
            opened_by=_both(at(run, "actor", "login"), at(run, "triggering_actor", "login")),
            changed_by=(),
        )

    def _ask(self, path: str) -> Any:
        return ask(
            self._url + path,
            {
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "Authorization": f"Bearer {self._token.get_secret_value()}",
            },
        )

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: dt.datetime
    ) -> Delivery:
        """Compare `X-Hub-Signature-256` with HMAC-SHA256 of the raw body. Raises DeliveryRefused."""
        given = headers.get("x-hub-signature-256", "")
        if not any(same("sha256=" + hex_digest(secret, body), given) for secret in secrets):
            raise DeliveryRefused("X-Hub-Signature-256 does not match any secret of this source.")
        return Delivery(key=body_key(body), event=text_of(headers.get("x-github-event"), 100))

    def parse(self, body: bytes) -> list[Hint]:
        """Return a hint for a changed job or run, or for a finished deployment of one."""
        said = json.loads(body)
        repository = text_of(at(said, "repository", "id"))
        if job := at(said, "workflow_job"):
            over = at(said, "action") == "completed"
            return _hint(repository, at(job, "run_id"), at(job, "run_attempt"), at(job, "id"), over=over)
        run, over = at(said, "workflow_run"), at(said, "action") == "completed"
        if state := at(said, "deployment_status", "state"):
            over = state in _OVER
            if check_run := at(said, "check_run", "id"):
                return _hint(repository, at(run, "id"), at(run, "run_attempt"), check_run, over=over)
        return _hint(repository, at(run, "id"), at(run, "run_attempt"), None, over=over) if run else []


def _both(*logins: Any) -> tuple[str, ...]:
    """Return the names in canonical form. Empty if any name is missing, because it could be anyone's."""
    found = [text_of(login) for login in logins]
    return names_of(found) if all(found) else ()


def _hint(repository: str, run: Any, attempt: Any, job: Any, *, over: bool) -> list[Hint]:
    """Return the hint for one job, or for all jobs of a run."""
    whole = ":".join(map(text_of, (repository, run, attempt)))
    one = f"{whole}:{text_of(job)}"
    if job is None:
        return [Hint(outside_id=whole, closed=over, whole=True)] if _ID.fullmatch(f"{whole}:1") else []
    return [Hint(outside_id=one, closed=over)] if _ID.fullmatch(one) else []


def _make(parameters: Parameters) -> Adapter:
    return GitHub(parameters)


TYPE = AdapterType(provider="github", title="GitHub", kind="pipeline", make=_make, parameters=Parameters)
