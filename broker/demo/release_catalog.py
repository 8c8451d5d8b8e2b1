"""The catalog files of the demo's Kubernetes cluster, its pipeline system and its releases."""

from __future__ import annotations

import json
from typing import Protocol


class _Cluster(Protocol):
    """A running cluster, with the token of Stint's service account."""

    ca: str
    token: str
    port: int


class _System(Protocol):
    """A running pipeline system."""

    token: str

    @property
    def url(self) -> str:
        """The URL template of its runs."""

    @property
    def webhook_secret(self) -> str:
        """The secret that signs its webhooks."""


RELEASER = "releaser"
CLUSTER = "shop-cluster"
SOURCE = "pipelines"

RELEASE = """\
name: release-web
kind: kubernetes
summary: Deploy the release of the pipeline
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
  refuse:
    - "set image deployment/web app=registry.example/other:v1.4.2 -n shop"
    - "exec web-1 -c app -n shop -- sh"
"""

_POLICY = f"""\
name: release
summary: A pipeline deploys its own release, without approval
clusters: [{CLUSTER}]
command_sets: [release-web]
requesters: {{identities: [{RELEASER}]}}
approvals: none
max_duration: 1h
reason: optional
workflow: {{kinds: [pipeline], sources: [{SOURCE}]}}
"""


def release_files(kube: _Cluster, pipelines: _System) -> dict[str, str]:
    """Return the catalog files for a running cluster and a running pipeline system."""
    cluster = {
        "name": CLUSTER,
        "kind": "kubernetes",
        "summary": "The shop's web servers",
        "environment": "production",
        "risk": "high",
        "connection": {"ca": kube.ca, "token": kube.token},
        "targets": [{"name": CLUSTER, "address": "127.0.0.1", "port": kube.port}],
    }
    source = {
        "name": SOURCE,
        "provider": "standard",
        "clusters": [CLUSTER],
        "webhook_secrets": [pipelines.webhook_secret],
        "parameters": {
            "url": pipelines.url,
            "token": pipelines.token,
            "kind": "pipeline",
            "open": ["running"],
            "closed": ["done"],
        },
    }
    # JSON is YAML.
    return {
        f"clusters/{CLUSTER}.yaml": json.dumps(cluster),
        f"workflow-sources/{SOURCE}.yaml": json.dumps(source),
        "command-sets/release-web.yaml": RELEASE,
        "policies/release.yaml": _POLICY,
    }
