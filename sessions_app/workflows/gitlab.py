"""Jobs of GitLab CI/CD. The outside id is `{project_id}:{job_id}`.

A webhook contains the secret itself (`X-Gitlab-Token`). If a signing token is set, the webhook is signed as
in Standard Webhooks.

Sources: https://docs.gitlab.com/api/jobs/ and …/user/project/integrations/webhook_events/.
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
    id_of,
    names_of,
    same,
    text_of,
)
from sessions_app.workflows.standard import verify_standard

# GitLab ignores leading zeros, so an ID must not have any.
_ID = re.compile(r"[1-9][0-9]{0,17}:[1-9][0-9]{0,17}")
_OVER = ("success", "failed", "canceled", "canceling", "skipped")


class Parameters(SourceParameters):
    """Connection settings for GitLab."""

    url: Address = Field(default="https://gitlab.com", description="The URL of GitLab")
    token: SecretStr = Field(description="A project or group access token with the scope `read_api`")


class GitLab:
    """Reads GitLab CI/CD jobs by project ID and job ID."""

    def __init__(self, parameters: Parameters) -> None:
        self._url = parameters.url
        self._token = parameters.token

    def status(self, outside_id: str) -> Status:
        """Query one job. Raises SourceError, NotAnId."""
        if not _ID.fullmatch(outside_id):
            raise NotAnId("A GitLab job has the form project_id:job_id, in digits without leading zeros.")
        project, job_id = outside_id.split(":")
        job = ask(
            f"{self._url}/api/v4/projects/{project}/jobs/{job_id}",
            {"PRIVATE-TOKEN": self._token.get_secret_value()},
        )
        if job is None:
            return Status(standing=Standing.UNKNOWN, reason="GitLab has no such job.")
        status = text_of(at(job, "status"))
        if status in _OVER:
            return Status(standing=Standing.CLOSED, reason=f"The job ended: {status}.")
        if status != "running":
            return Status(
                standing=Standing.UNKNOWN, reason=f"The job is not running: its status is “{status}”."
            )
        return self._running(job, project)

    def _running(self, job: Any, project: str) -> Status:
        ref = text_of(at(job, "ref"))
        values = {
            "commit": text_of(at(job, "commit", "id")),
            "branch": "" if at(job, "tag") is True else ref,
            "release": ref if at(job, "tag") is True else "",
            "pipeline": text_of(at(job, "pipeline", "id")),
            "job": text_of(at(job, "name")),
            "stage": text_of(at(job, "stage")),
            "project": project,
        }
        return Status(
            standing=Standing.OPEN,
            outside_id=id_of(f"{project}:{text_of(at(job, 'id'))}", _ID),
            title=f"{values['job']} on {ref}",
            url=text_of(at(job, "web_url"), 500),
            services=(project,),
            values={name: value for name, value in values.items() if value},
            # Who started the pipeline, and who started or retried the job. A job itself can't be changed.
            opened_by=names_of([at(job, "user", "username")]),
            changed_by=(),
        )

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: dt.datetime
    ) -> Delivery:
        """Check the signature if there is one; otherwise compare `X-Gitlab-Token` with the secrets.

        Raises DeliveryRefused.
        """
        event = text_of(headers.get("x-gitlab-event"), 100)
        if "webhook-signature" in headers:
            return Delivery(key=verify_standard(headers, body, secrets, now), event=event)
        given = headers.get("x-gitlab-token", "")
        # A signing key is never accepted as a plain token.
        if not any(same(secret, given) for secret in secrets if not secret.startswith("whsec_")):
            raise DeliveryRefused("X-Gitlab-Token does not match any secret of this source.")
        return Delivery(key=body_key(body), event=event)

    def parse(self, body: bytes) -> list[Hint]:
        """Return a hint for a job that changed, or for each job of a finished pipeline."""
        said = json.loads(body)
        kind = at(said, "object_kind")
        if kind == "build":
            project = at(said, "project_id") or at(said, "project", "id")
            return _hints(project, [at(said, "build_id")], at(said, "build_status"))
        if kind == "pipeline":
            jobs = [at(build, "id") for build in each(said, "builds")]
            status = at(said, "object_attributes", "status")
            return _hints(at(said, "project", "id"), jobs, status) if status in _OVER else []
        return []


def _hints(project: Any, jobs: Sequence[Any], status: Any) -> list[Hint]:
    ids = [f"{text_of(project)}:{text_of(job)}" for job in jobs[:1000]]
    return [Hint(outside_id=one, closed=status in _OVER) for one in ids if _ID.fullmatch(one)]


def _make(parameters: Parameters) -> Adapter:
    return GitLab(parameters)


TYPE = AdapterType(provider="gitlab", title="GitLab", kind="pipeline", make=_make, parameters=Parameters)
