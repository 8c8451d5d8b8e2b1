"""A token issuer on loopback, which publishes its keys like GitHub and GitLab, and signs any claims."""

import contextlib
import functools
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from joserfc import jwk, jws

from tests.support.servers.answering import Answer, Asked, answering
from tests.support.waits import happens

AUDIENCE = "https://stint.example.com"


@functools.cache
def rsa_key(kid: str = "key-1") -> jwk.RSAKey:
    """Return a key pair of the usual size."""
    return jwk.RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


@dataclass
class Issuer:
    """Its address, its metadata, and the requests that it received.

    ``answers`` overrides the response at a path; while ``awake`` is not set, it does not respond.
    """

    url: str = ""
    keys: list[jwk.RSAKey] = field(default_factory=lambda: [rsa_key()])
    asked: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    awake: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.awake.set()

    def published(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        happens(self.awake)
        if path in self.answers:
            return self.answers[path]
        found = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [key.as_dict(private=False) for key in self.keys]},
        }.get(path)
        return (200, {}, json.dumps(found).encode()) if found else (404, {}, b"{}")

    def posted(self, path: str, headers: Any, body: str) -> tuple[int, dict[str, str], bytes]:
        """Accept nothing."""
        return 405, {}, b"{}"

    def github(self, now, **changes: Any) -> dict[str, Any]:
        """Return the claims of a job in the form of GitHub, with changes; None removes a claim."""
        at = int(now.timestamp())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "repo:acme@77/payments@9001:environment:production",
            "jti": secrets.token_hex(16),
            "iat": at,
            "nbf": at - 5,
            "exp": at + 300,
            "repository": "acme/payments",
            "repository_id": "9001",
            "repository_owner": "acme",
            "repository_owner_id": "77",
            "repository_visibility": "private",
            "environment": "production",
            "event_name": "release",
            "ref": "refs/tags/v1.4.2",
            "ref_type": "tag",
            "sha": "4f1c0d2e9ab7",
            "run_id": "77001",
            "run_number": "12",
            "run_attempt": "1",
            "check_run_id": "550077",
            "actor": "alice-gh",
            "actor_id": "1234",
            "head_ref": "",
            "base_ref": "",
            "workflow": "deploy",
            "job_workflow_ref": "acme/payments/.github/workflows/deploy.yml@refs/tags/v1.4.2",
            "runner_environment": "github-hosted",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def gitlab(self, now, **changes: Any) -> dict[str, Any]:
        """Return the claims of a job in the form of GitLab: mostly strings."""
        at = int(now.timestamp())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "project_path:acme/payments:ref_type:tag:ref:v1.4.2",
            "jti": secrets.token_hex(16),
            "iat": at,
            "nbf": at - 5,
            "exp": at + 300,
            "project_id": "22",
            "project_path": "acme/payments",
            "pipeline_id": "901",
            "pipeline_source": "push",
            "job_id": "4711",
            "ref": "v1.4.2",
            "ref_type": "tag",
            "ref_protected": "true",
            "environment": "production",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: Any, *, key: Any = None, **header: Any) -> str:
        """Return a signed token; ``header`` changes its header, None removes a key."""
        key = key or self.keys[0]
        before = {"alg": "RS256", "typ": "JWT", "kid": getattr(key, "kid", None), **header}
        before = {name: value for name, value in before.items() if value is not None}
        payload = claims if isinstance(claims, bytes) else json.dumps(claims)
        return jws.serialize_compact(before, payload, key, algorithms=[before["alg"]])

    def document(self, **changes: Any) -> dict[str, Any]:
        """Return the trust policy that admits the deploying service for production releases of one
        repository.
        """
        document = {
            "name": "payments-deploy",
            "summary": "Deploys payments",
            "issuer": self.url,
            "audience": AUDIENCE,
            "required_claims": {
                "repository_id": "9001",
                "repository_owner_id": "77",
                "environment": "production",
            },
            "speaks_as": "deployer",
            "workflow": "github:{repository_id}:{run_id}:{run_attempt}:{check_run_id}",
            **changes,
        }
        return {name: value for name, value in document.items() if value is not None}


SomeIssuer = TypeVar("SomeIssuer", bound=Issuer)


def trust_file() -> dict[str, str]:
    """Return the file of a trust policy whose issuer is never queried."""
    document = Issuer(url="https://token.actions.githubusercontent.com").document()
    return {"trust-policies/payments-deploy.yaml": yaml.safe_dump(document)}


@contextlib.contextmanager
def issuer_on_loopback(issuer: SomeIssuer | None = None) -> Iterator[SomeIssuer]:
    """Run an issuer until the block ends."""
    issuer = issuer or Issuer()

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            status, headers, body = issuer.published(asked.path)
        else:
            status, headers, body = issuer.posted(asked.path, asked.headers, asked.body.decode())
        return status, {"Content-Type": "application/json", **headers}, body

    with answering(answer) as port:
        issuer.url = f"http://127.0.0.1:{port}"
        yield issuer
