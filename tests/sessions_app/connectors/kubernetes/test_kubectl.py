"""Debian's kubectl: it works with a holder's kubeconfig, and sends for each line what the line's rights say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from sessions_app.connectors.kubernetes import plugin
from sessions_app.connectors.kubernetes.kubeconfig import exec_kubeconfig, token_kubeconfig
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.commands.kubernetes.rights import Request
from tests.sessions_app.connectors.kubernetes.test_plugin import stint  # noqa: F401
from tests.support.kubernetes.cluster import in_process
from tests.support.kubernetes.server import _PATH, ApiServer, _attributes

LABELS = {"app": "shop"}
POD = {"metadata": {"name": "web-1", "labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]},
       "status": {"phase": "Running"}}  # fmt: skip
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
DEPLOYMENT = {
    "metadata": {"name": "shop", "generation": 1}, "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": TEMPLATE},
    "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1},
}  # fmt: skip

# A line of a document, and what somebody types after it.
LINES = [
    ("get pods -n web", ""), ("get pods web-1 -n web", ""), ("get pods,services -n web", ""), ("get deploy/shop -n web", "-o json"),
    ("get nodes", ""), ("get pods -A", ""), ("describe pod web-1 -n web", "--show-events=false"), ("logs web-1 -n web", "--tail=5"),
    ("rollout restart deployment/shop -n web", ""), ("rollout status deployment/shop -n web", ""),
    ("rollout history deployment/shop -n web", ""), ("rollout pause deployment/shop -n web", ""),
    ("rollout undo deployment/shop -n web", ""), ("scale deployment/shop -n web", "--replicas=2"),
    ("label pod web-1 -n web", "a=b"), ("annotate pod web-1 -n web", "a=b"), ("set image deployment/shop -n web", "c=other"),
    ("cordon node-1", ""), ("uncordon node-1", ""), ("delete pod web-1 -n web", ""), ("delete pod web-1 -n web", "--wait=false"),
    ("exec web-1 -n web", "-- id"), ("attach web-1 -n web", ""), ("port-forward pod/web-1 -n web", "0:80"),
    ("get pods -n web -w", "--request-timeout=1s"), ("get pods web-1 -n web -w", "--request-timeout=1s"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("kubectl"), cache_seconds=0.0) as server:
        cluster = in_process(server)
        for name in ("web", "stint-grants"):
            cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        cluster.call("POST", "/api/v1/nodes", {"metadata": {"name": "node-1"}, "spec": {}})
        yield cluster


@pytest.fixture
def running(shop):
    """A pod, a deployment, and its two revisions."""
    apps = "/apis/apps/v1/namespaces/web"
    shop.call("DELETE", "/api/v1/namespaces/web/pods/web-1")
    shop.call("POST", "/api/v1/namespaces/web/pods", POD)
    shop.call("DELETE", f"{apps}/deployments/shop")
    _, made = shop.call("POST", f"{apps}/deployments", DEPLOYMENT)
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "shop",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    for revision in ("1", "2"):
        meta = {"name": f"shop-{revision}", "labels": LABELS, "ownerReferences": [owner],
                "annotations": {"deployment.kubernetes.io/revision": revision}}  # fmt: skip
        shop.call("DELETE", f"{apps}/replicasets/shop-{revision}")
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": LABELS},
            "template": {**TEMPLATE, "metadata": {"labels": {**LABELS, "r": revision}}},
        }
        shop.call("POST", f"{apps}/replicasets", {"metadata": meta, "spec": spec})
    return shop


def kubectl(config: str, tmp_path, *words: str, **env: str) -> subprocess.CompletedProcess:
    file = tmp_path / "kubeconfig"
    file.write_text(config)
    known = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(file), **env}
    try:
        return subprocess.run(
            ["kubectl", *words], capture_output=True, text=True, env=known, timeout=6, check=False
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.cmd, 124, "", "")


def config_of(cluster, token: str) -> str:
    return token_kubeconfig(
        name="prod",
        server=f"https://{cluster.address}:{cluster.port}",
        ca=cluster.ca,
        namespace="web",
        token=token,
    )


def sent(calls) -> list[Request]:
    """What was asked of the API, without how kubectl finds its way."""
    found = []
    for call in calls:
        url = urlsplit(call.path)
        match = _PATH.fullmatch(url.path)
        if match is None or re.fullmatch(r"/(api/v1|apis/[^/]+/v1)|/version|/openapi.*", url.path):
            continue
        about = _attributes(
            call.method, match, {key: values[0] for key, values in parse_qs(url.query).items()}
        )
        found.append(Request(about.verb, about.group, about.combined, about.name, about.namespace))
    return found


@pytest.mark.parametrize(("line", "typed"), LINES, ids=lambda text: text or "-")
def test_the_rights_of_a_line_cover_what_kubectl_sends(running, tmp_path, line, typed):
    with running.server.counted() as calls:
        done = kubectl(config_of(running, running.token), tmp_path, *line.split(), *typed.split())
    asked = sent(calls)
    assert asked, done.stderr
    rights = parse_line(line, document=True)
    beyond = [str(one) for one in asked if not any(right.covers(one, {}) is not None for right in rights)]
    assert beyond == []


@pytest.mark.parametrize(
    ("line", "typed"), [one for one in LINES if one[0].split()[0] not in ("exec", "attach", "port-forward")]
)
def test_nothing_is_said_to_be_needed_that_kubectl_does_not_send(running, tmp_path, line, typed):
    """Or a line would be refused that works. What only some versions send is given besides, and not asked for."""
    with running.server.counted() as calls:
        kubectl(config_of(running, running.token), tmp_path, *line.split(), *typed.split())
    needed = {request for right in parse_line(line, document=False) for request in right.requests()}
    assert needed <= set(sent(calls))


def test_kubectl_asks_stint_by_the_plugin_and_is_let_in(shop, tmp_path, stint):  # noqa: F811
    """kubectl runs the plugin, which asks Stint's API, whose answer opens the cluster."""
    wrapper = tmp_path / "stint-kube-credential"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -I {plugin.__file__} "$@"\n')
    wrapper.chmod(0o755)
    stint.answer = (200, {"values": {"Token": shop.token}, "expires_at": "2099-01-01T00:00:00Z"}, {})
    config = exec_kubeconfig(
        name="prod", server=f"https://{shop.address}:{shop.port}", ca=shop.ca, namespace="web", grant_ref="GR-7F3K",
        stint_url=stint.url,
    )  # fmt: skip
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = kubectl(
        config, tmp_path, "get", "--raw", "/api/v1/namespaces/web/pods", PATH=path, STINT_TOKEN="my-token"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "PodList"
    assert [(path, token) for path, token, _ in stint.asked] == [
        ("/api/v1/grants/GR-7F3K/credential", "Bearer my-token")
    ]
    stint.answer = (403, {"detail": "The grant has ended."}, {})
    refused = kubectl(config, tmp_path, "get", "--raw", "/version", PATH=path, STINT_TOKEN="my-token")
    assert refused.returncode != 0
    assert "The grant has ended." in refused.stderr
