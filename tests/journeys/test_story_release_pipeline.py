"""A CI job authenticates with its own token, deploys only the release that it is for, and loses access when
it ends.

Real nginx with Stint's own snippet, the real web process, an issuer that publishes its keys, and a system
that responds about jobs and signs its webhooks as GitHub does; all of it over HTTP, as for a real job.
"""

import contextlib
import itertools
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import yaml

from broker.kernel import clock
from sessions_app.connectors.http.snippets import Site, snippet
from sessions_app.models import Grant
from sessions_app.operations.sweep.sweep import sweep
from tests.conftest import fresh_database
from tests.support.browser.site import serve
from tests.support.servers.issuer import Issuer, issuer_on_loopback
from tests.support.servers.nginx import Application, Nginx, application, nginx
from tests.support.servers.outside import Outside, outside, signed_by_github, tell_github
from tests.support.world.acts import awake, last
from tests.support.world.api_site import PROXY_KEY
from tests.support.world.world import World, make_world

SECRET = "the-secret-of-the-repository"
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}
_runs = itertools.count(77001)


def files(github: Outside, issuer: Issuer) -> dict[str, str]:
    return {
        "clusters/deploys.yaml": f"""
name: deploys
kind: http
summary: Rolls releases of payments out
environment: production
risk: high
connection: {{proxy: nginx, proxy_key: {PROXY_KEY}, tls: false, host: deploy.example.com}}
targets:
  - {{name: deploy-api, address: 127.0.0.1, port: 8080}}
""",
        "command-sets/deploy-release.yaml": """
name: deploy-release
kind: http
summary: Deploy one release of payments
risk: high
parameters:
  release: {pattern: "v[0-9.]{1,20}", from: workflow.release}
commands:
  - request: POST /payments/releases/{release}/deploy
    effect: change
  - request: GET /payments/releases/{release}
    effect: read
examples:
  refuse: ["GET /payments/releases", "DELETE /payments/releases/v1.0"]
  allow: ["GET /payments/releases/v1.4.2"]
accept:
  free_body commands[0].body: the endpoint takes no body
""",
        "policies/release.yaml": """
name: release
summary: Releases deploy themselves
clusters: [deploys]
command_sets: [deploy-release]
requesters: {identities: [deployer]}
approvals: none
max_duration: 1h
reason: optional
heartbeat: 30s
workflow: {kinds: [pipeline], sources: [github]}
""",
        "workflow-sources/github.yaml": yaml.safe_dump(
            {
                "name": "github",
                "provider": "github",
                "clusters": ["deploys"],
                "parameters": {"url": github.url, "token": "a-token-that-reads-actions"},
                "webhook_secrets": [SECRET],
            }
        ),
        "trust-policies/payments-deploy.yaml": yaml.safe_dump(issuer.document()),
    }


@dataclass
class Pipeline:
    """All parts, running."""

    world: World
    web: str
    github: Outside
    issuer: Issuer
    upstream: Application
    proxy: Nginx


@dataclass
class Job:
    """One job of one run, as the provider reports it, and its credentials."""

    at: Pipeline
    release: str
    run_id: int = field(default_factory=lambda: next(_runs))
    token: str = ""
    grant: dict[str, Any] = field(default_factory=dict)
    credential: str = ""

    @property
    def id(self) -> int:
        return self.run_id + 500_000

    @property
    def ref(self) -> str:
        return f"github:9001:{self.run_id}:1:{self.id}"

    def tell(self, status: str = "in_progress", conclusion: str | None = None) -> None:
        """Set the provider's response about the job."""
        tell_github(self.at.github, self.release, self.run_id, self.id, status, conclusion)

    def claims(self, **changes: Any) -> dict[str, Any]:
        own = {"run_id": str(self.run_id), "check_run_id": str(self.id), "ref": f"refs/tags/{self.release}"}
        return self.at.issuer.github(clock.now(), **{**own, **changes})

    def begin(self) -> Self:
        """Exchange the provider's token, request access, and get the grant's own token."""
        self.tell()
        status, given = self.oauth(self.claims())
        assert status == 200, given
        assert given["stint_workflow"] == self.ref
        self.token = given["access_token"]
        status, request = self.api(
            "/requests", {"cluster": "deploys", "command_set": "deploy-release", "duration": "30m"}
        )
        assert status == 201, request
        carry_out()
        status, found = self.api("/grants?mine=true")
        (self.grant,) = found["results"]
        assert (self.grant["workflow"], self.grant["parameters"]) == (self.ref, {"release": self.release})
        details = [{"type": "stint_grant", "grant": self.grant["ref"], "lifetime": "10m"}]
        kind = EXCHANGE["subject_token_type"].replace("jwt", "access_token")
        status, made = self.token_endpoint(
            self.token, subject_token_type=kind, authorization_details=json.dumps(details)
        )
        assert (status, made["expires_in"]) == (200, 600), made
        self.credential = made["access_token"]
        return self

    def oauth(self, claims: dict[str, Any]) -> tuple[int, Any]:
        return self.token_endpoint(self.at.issuer.sign(claims))

    def token_endpoint(self, subject: str, **more: str) -> tuple[int, Any]:
        form = {**EXCHANGE, "subject_token": subject, **more}
        return send(f"{self.at.web}/oauth/token", urllib.parse.urlencode(form).encode(), {})

    def api(self, path: str, body: Any = None) -> tuple[int, Any]:
        raw = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return send(f"{self.at.web}/api/v1{path}", raw, headers)

    def deploy(self, release: str) -> int:
        """Call the deployment service through nginx."""
        head = (
            f"POST /payments/releases/{release}/deploy HTTP/1.1\r\nHost: deploy.example.com\r\n"
            f"Authorization: Bearer {self.credential}\r\nContent-Length: 0\r\n"
        )
        return self.at.proxy.send(head.encode(), b"").status

    def completed(self, conclusion: str) -> int:
        """Let the provider report the job's end, by a signed webhook."""
        body = json.dumps(
            {
                "action": "completed",
                "repository": {"id": 9001, "full_name": "acme/payments"},
                "workflow_job": {
                    "id": self.id,
                    "run_id": self.run_id,
                    "run_attempt": 1,
                    "status": "completed",
                    "conclusion": conclusion,
                    "name": "deploy",
                },
            }
        ).encode()
        headers = {"Content-Type": "application/json", **signed_by_github(SECRET, body, "workflow_job")}
        return send(f"{self.at.web}/hooks/github/", body, headers)[0]


def send(url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
    request = urllib.request.Request(url, data=body, headers=headers)  # loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def carry_out() -> None:
    """Start and end what is due, as the worker does each second."""
    sweep(now=clock.now, name="test")
    awake(clock.now())


def state(job: Job) -> tuple[str, str]:
    return Grant.objects.values_list("state", "end_reason").get(ref=job.grant["ref"])


@pytest.fixture(scope="module")
def pipeline(processes, django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Pipeline]:
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(django_db_blocker))
        clock.sync()
        github = stack.enter_context(outside())
        issuer = stack.enter_context(issuer_on_loopback())
        world = make_world(clock.now(), files(github, issuer))
        env = {**database.env, "STINT_ISSUER_NETWORKS": "127.0.0.0/8"}
        web = stack.enter_context(serve(env, tmp_path_factory.mktemp("web")))
        upstream = stack.enter_context(application())
        site = Site(
            target="deploy-api",
            origin="http://deploy.example.com",
            upstream=upstream.url,
            stint=web,
            proxy_key=PROXY_KEY,
        )
        proxy = stack.enter_context(nginx(snippet("nginx", site)))
        yield Pipeline(world, web, github, issuer, upstream, proxy)


@pytest.fixture(autouse=True)
def _awake(pipeline):
    carry_out()


def test_a_job_deploys_the_release_that_it_is_for_and_no_other(pipeline):
    job = Job(pipeline, "v1.4.2").begin()
    assert job.deploy("v1.4.2") == 200
    assert pipeline.upstream.lines[-1] == b"POST /payments/releases/v1.4.2/deploy HTTP/1.1"
    before = len(pipeline.upstream.heads)
    assert job.deploy("v1.4.1") == 403
    assert len(pipeline.upstream.heads) == before
    assert last("identity.token_exchanged", "deployer").data["workflow"] == job.ref


@pytest.mark.parametrize("conclusion", ["success", "failure", "cancelled"])
def test_however_the_job_ends_its_access_ends_with_it(pipeline, conclusion):
    job = Job(pipeline, "v2.0.0").begin()
    assert job.deploy("v2.0.0") == 200
    job.tell("completed", conclusion)
    assert job.completed(conclusion) == 200
    assert job.deploy("v2.0.0") == 401
    assert state(job) == ("revoking", "workflow_closed")
    # Its token gives no access either.
    status, refused = job.api(
        "/requests", {"cluster": "deploys", "command_set": "deploy-release", "duration": "30m"}
    )
    assert status in (400, 422), refused
    carry_out()
    assert job.deploy("v2.0.0") == 401
