"""The demo's Kubernetes cluster, the system that runs its pipelines, and who can release there."""

from __future__ import annotations

import json
from typing import Protocol


class _Cluster(Protocol):
    """A running cluster, and the account with which Stint comes to it."""

    ca: str
    token: str
    port: int


class _System(Protocol):
    """A running system of pipelines."""

    token: str

    @property
    def url(self) -> str:
        """Where its runs are."""

    @property
    def webhook_secret(self) -> str:
        """The key of its webhooks."""


RELEASER = "releaser"
CLUSTER = "shop-cluster"
SOURCE = "pipelines"

RELEASE = """\
name: release-web
kind: kubernetes
summary: Put the release of the pipeline into place
risk: high
parameters:
  release: {pattern: "v[0-9]+[.][0-9]+[.][0-9]+", from: workflow.release}
commands:
  - run: set image deployment/web app=registry.example/web:{release} -n shop
    effect: change
  - run: exec web-1 -c app -n shop -- sleep {seconds}
    where: {seconds: {int: [1, 3600]}}
    effect: change
examples:
  allow: ["set image deployment/web app=registry.example/web:v1.4.2 -n shop"]
  refuse: ["set image deployment/web app=registry.example/other:v1.4.2 -n shop", "exec web-1 -c app -n shop -- sh"]
"""

_POLICY = f"""\
name: release
summary: A pipeline releases what it was started for, without an approval
clusters: [{CLUSTER}]
command_sets: [release-web]
requesters: {{identities: [{RELEASER}]}}
approvals: none
max_duration: 1h
reason: optional
workflow: {{kinds: [pipeline], sources: [{SOURCE}]}}
"""


def release_files(kube: _Cluster, pipelines: _System) -> dict[str, str]:
    """Return the catalog's files for a running cluster and a running system of pipelines."""
    cluster = {
        "name": CLUSTER, "kind": "kubernetes", "summary": "The shop's web servers", "environment": "production",
        "risk": "high", "connection": {"ca": kube.ca, "token": kube.token},
        "targets": [{"name": CLUSTER, "address": "127.0.0.1", "port": kube.port}],
    }  # fmt: skip
    source = {
        "name": SOURCE, "provider": "standard", "clusters": [CLUSTER], "webhook_secrets": [pipelines.webhook_secret],
        "parameters": {
            "url": pipelines.url, "token": pipelines.token, "kind": "pipeline", "open": ["running"], "closed": ["done"],
        },
    }  # fmt: skip
    # JSON is YAML.
    return {
        f"clusters/{CLUSTER}.yaml": json.dumps(cluster),
        f"workflow-sources/{SOURCE}.yaml": json.dumps(source),
        "command-sets/release-web.yaml": RELEASE,
        "policies/release.yaml": _POLICY,
    }
