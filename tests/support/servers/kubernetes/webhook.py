"""An authorizer that queries a webhook, as an API server with `--authorization-mode=Webhook,RBAC` does.

Source: https://kubernetes.io/docs/reference/access-authn-authz/webhook/; plugin/pkg/authorizer/webhook of
k8s.io/apiserver.
"""

import json
import urllib.error
from dataclasses import dataclass, field
from urllib.request import Request

from broker.direct import direct
from tests.support.servers.kubernetes.rbac import Attributes, User


def review(user: User, about: Attributes) -> dict:
    """Return the review that an API server of 1.34 sends: without empty fields, with the token's id in
    `extra`.
    """
    facts = {
        "namespace": about.namespace,
        "verb": about.verb,
        "group": about.group,
        "version": "v1",
        "resource": about.resource,
        "subresource": about.subresource,
        "name": about.name,
    }
    return {
        "kind": "SubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {
            "resourceAttributes": {key: value for key, value in facts.items() if value},
            "user": user.name,
            "groups": list(user.groups),
            "uid": "4b3f7c1e-90e7-4c8c-9d2a-6d5c1f0a1d11",
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=7f3d4b1c-52a3-4b0e-8c5d-6b1f7f1a9a10"]
            },
        },
        "status": {"allowed": False},
    }


@dataclass
class Webhook:
    """A client of the webhook at an address, with a key. A failure counts as `failurePolicy: Deny`."""

    url: str
    key: str
    asked: list[dict] = field(default_factory=list)

    def opinion(self, user: User, about: Attributes) -> tuple[bool | None, str]:
        """Return whether the request may be made (None for no opinion), and the reason."""
        sent = review(user, about)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = Request(f"{self.url}?timeout=30s", json.dumps(sent).encode(), headers)
        try:
            with direct.open(request, timeout=10) as answer:
                said = json.loads(answer.read())
        except (urllib.error.URLError, OSError) as error:
            return False, f"webhook failed: {error}"
        self.asked.append(said)
        status = said["status"]
        if status["allowed"]:
            return True, ""
        return (False if status.get("denied") else None), status.get("reason", "")
