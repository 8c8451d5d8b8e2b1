"""Debian's kubectl: it works with a holder's kubeconfig, and all that it sends for a line is allowed as that
line.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from sessions_app.connectors.kubernetes import plugin
from sessions_app.connectors.kubernetes.kubeconfig import exec_kubeconfig, token_kubeconfig
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.kinds import compile_set, parse_document
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent, read_request
from sessions_app.policy.commands.kubernetes.decide import decide_request
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.commands.kubernetes.rights import Request
from tests.sessions_app.connectors.kubernetes.test_plugin import stint  # noqa: F401
from tests.support.pace import allow
from tests.support.servers.kubernetes.cluster import in_process
from tests.support.servers.kubernetes.server import ApiServer

pytestmark = pytest.mark.timing

LABELS = {"app": "shop"}
POD = {
    "metadata": {"name": "web-1", "labels": LABELS},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
    "status": {"phase": "Running"},
}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
DEPLOYMENT = {
    "metadata": {"name": "shop", "generation": 1},
    "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": TEMPLATE},
    "status": {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "availableReplicas": 1,
        "readyReplicas": 1,
    },
}

# A line of a document, what somebody types after it, and what is recorded. Without the last, the line itself
# is.
LINES = [
    ("get pods -n web", "", ""),
    ("get pods web-1 -n web", "", "get pod/web-1 -n web"),
    ("get pods,services -n web", "", "get pods -n web, get services -n web"),
    ("get deploy/shop -n web", "-o json", "get deployment/shop -n web"),
    ("get nodes", "", ""),
    ("get pods -A", "", ""),
    ("describe pod web-1 -n web", "", "describe pod/web-1 -n web"),
    ("logs web-1 -n web", "--tail=5", "logs web-1 -n web -c c --tail 5"),
    ("logs web-1 -n web -c c", "--since=1h", ""),
    ("rollout restart deployment/shop -n web", "", ""),
    ("rollout status deployment/shop -n web", "", ""),
    ("rollout history deployment/shop -n web", "", ""),
    ("rollout pause deployment/shop -n web", "", ""),
    ("rollout undo deployment/shop -n web", "", "rollout undo deployment/shop -n web --to-revision 1"),
    (
        "rollout undo deployment/shop -n web",
        "--to-revision=1",
        "rollout undo deployment/shop -n web --to-revision 1",
    ),
    ("scale deployment/shop -n web", "--replicas=2", "scale deployment/shop -n web --replicas 2"),
    ("scale deployment/shop -n web --replicas 2", "", ""),
    ("label pod web-1 -n web a=b", "", "label pod/web-1 a=b -n web"),
    ("label pod web-1 -n web app-", "", "label pod/web-1 app- -n web"),
    ("annotate pod web-1 -n web example.com/a=b", "", "annotate pod/web-1 example.com/a=b -n web"),
    ("set image deployment/shop -n web c=other:2", "", "set image deployment/shop c=other:2 -n web"),
    ("cordon node-1", "", ""),
    ("uncordon node-2", "", ""),
    ("delete pod web-1 -n web", "", "delete pod/web-1 -n web"),
    ("delete pod web-1 -n web", "--wait=false", "delete pod/web-1 -n web"),
    ("delete pod web-1 -n web --grace-period 0", "--force", "delete pod/web-1 -n web --grace-period 0"),
    ("exec web-1 -n web -c c -- echo ok", "", ""),
    ("exec web-1 -n web -c c -i -- cat", "", ""),
    ("attach web-1 -n web -c c", "", ""),
    ("port-forward pod/web-1 80 -n web", "", ""),
    ("get pods -n web -w", "--request-timeout=1s", "get pods -n web, get pods -n web -w"),
    ("get pods web-1 -n web -w", "--request-timeout=1s", "get pod/web-1 -n web, get pod/web-1 -n web -w"),
]


@pytest.fixture(scope="module")
def shop(processes, tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("kubectl"), cache_seconds=0.0) as server:
        cluster = in_process(server)
        for name in ("web", "stint-grants"):
            cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        yield cluster


@pytest.fixture
def running(shop):
    """A node, two that are cordoned, a pod, a deployment, and its two revisions."""
    apps = "/apis/apps/v1/namespaces/web"
    for name in ("node-1", "node-2", "node-3"):
        spec = {"unschedulable": True} if name != "node-1" else {}
        shop.call("DELETE", f"/api/v1/nodes/{name}")
        shop.call("POST", "/api/v1/nodes", {"metadata": {"name": name}, "spec": spec})
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
        meta = {
            "name": f"shop-{revision}",
            "labels": LABELS,
            "ownerReferences": [owner],
            "annotations": {"deployment.kubernetes.io/revision": revision},
        }
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
            ["kubectl", *words], capture_output=True, text=True, env=known, timeout=allow(6), check=False
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


def sent(calls) -> list[tuple[KubeRequest, Sent]]:
    """What was asked of the API, without how kubectl finds its way."""
    found = []
    for call in calls:
        url = urlsplit(call.path)
        asked = read_request(call.method, url.path, url.query)
        body = json.loads(call.body) if call.body else None
        if asked.is_resource:
            found.append((asked, Sent(call.media_type.partition(";")[0], body)))
    return found


def standing_of(cluster):
    """The deployment and its revisions, as the gateway reads them for a decision that asks."""
    apps = "/apis/apps/v1/namespaces/web"
    _, deployment = cluster.call("GET", f"{apps}/deployments/shop")
    _, past = cluster.call("GET", f"{apps}/replicasets")
    return {"target": deployment, "history": tuple(past["items"])}


def compiled(*lines):
    commands = [{"run": line, "effect": "destructive"} for line in lines]
    return compile_set(
        parse_document(
            {"name": "a", "kind": "kubernetes", "summary": "s", "risk": "low", "commands": commands}
        ),
        {},
    )


@pytest.mark.parametrize(("line", "typed", "recorded"), LINES, ids=lambda text: text or "-")
def test_what_kubectl_sends_for_a_line_is_allowed_and_recorded_as_that_line(
    running, tmp_path, line, typed, recorded
):
    standing = standing_of(running)
    with running.server.counted() as calls:
        done = kubectl(
            config_of(running, running.token),
            tmp_path,
            *line.split(" -- ")[0].split(),
            *typed.split(),
            *line.partition(" -- ")[1:][0].split(),
            *line.partition(" -- ")[2].split(),
        )
    asked = sent(calls)
    assert asked, done.stderr
    allowed = compiled(line)
    verdicts = [decide_request(allowed, request, replace(carried, **standing)) for request, carried in asked]
    assert [one for one in verdicts if isinstance(one, Refused)] == []
    runs = dict.fromkeys(one.line for one in verdicts if not one.poll)
    assert ", ".join(runs) == (recorded or line)


@pytest.mark.parametrize(("line", "typed", "recorded"), LINES, ids=lambda text: text or "-")
def test_all_that_a_line_is_allowed_is_within_the_rights_of_its_account(
    running, tmp_path, line, typed, recorded
):
    with running.server.counted() as calls:
        kubectl(config_of(running, running.token), tmp_path, *line.split(" -- ")[0].split(), *typed.split())
    rights = rights_of(line)
    for request, _ in sent(calls):
        about = Request(request.verb, request.group, request.full_resource, request.name, request.namespace)
        assert any(True for right in rights for _ in right.matches(about, {})), request


def rights_of(line):
    return [step.right for step in parse_line(line, document=True)]


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("scale deployment/shop -n web --replicas 2", "scale deployment/shop -n web --replicas=3"),
        ("set image deployment/shop -n web c=other:2", "set image deployment/shop -n web c=evil:2"),
        ("set image deployment/shop -n web c=other:2", "set env deployment/shop -n web A=b"),
        ("rollout restart deployment/shop -n web", "label deployment/shop -n web a=b"),
        ("label pod web-1 -n web a=b", "label pod web-1 -n web a=c"),
        ("delete pod web-1 -n web", "delete pod web-1 -n web --grace-period=1"),
        ("exec web-1 -n web -c c -- echo ok", "exec web-1 -n web -c c -- echo no"),
        ("exec web-1 -n web -c c -- cat", "exec web-1 -n web -c c -i -- cat"),
        ("logs web-1 -n web", "logs web-1 -n web -f"),
        ("cordon node-3", "uncordon node-3"),
    ],
)
def test_what_kubectl_sends_for_another_line_is_refused(running, tmp_path, line, typed):
    with running.server.counted() as calls:
        kubectl(config_of(running, running.token), tmp_path, *typed.split())
    allowed = compiled(line)
    verdicts = [decide_request(allowed, request, carried) for request, carried in sent(calls)]
    assert [one.code for one in verdicts if isinstance(one, Refused)] == ["value"], verdicts


def test_an_apply_of_listed_fields_is_allowed_and_of_others_refused_by_name(running, tmp_path):
    rule = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "namespaces": ["web"],
        "names": ["shop"],
        "fields": {"spec.replicas": {"int": [1, 5]}, "spec.template.spec.containers[c].image": "other:2"},
    }
    document = {
        "name": "a",
        "kind": "kubernetes",
        "summary": "s",
        "risk": "low",
        "commands": [{"apply": rule, "effect": "change"}],
    }
    allowed = compile_set(parse_document(document), {})

    def apply(changed):
        whole = json.loads(json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", **DEPLOYMENT}))
        whole["metadata"] = {"name": "shop", "namespace": "web"}
        del whole["status"]
        changed(whole["spec"])
        (tmp_path / "file.json").write_text(json.dumps(whole))
        standing = standing_of(running)
        with running.server.counted() as calls:
            kubectl(
                config_of(running, running.token),
                tmp_path,
                "apply",
                "--validate=false",
                "-f",
                str(tmp_path / "file.json"),
            )
        return [
            decide_request(allowed, asked, replace(carried, **standing)) for asked, carried in sent(calls)
        ]

    def image(spec):
        spec["template"]["spec"]["containers"][0]["image"] = "other:2"

    good = apply(lambda spec: (spec.update(replicas=3), image(spec)))
    assert [one.line for one in good if not one.poll] == [
        "apply deployment/shop spec.replicas=3 'spec.template.spec.containers[c].image=other:2' -n web"
    ]
    bad = apply(lambda spec: (image(spec), spec["template"]["spec"].update(hostNetwork=True)))
    assert "it sets spec.template.spec.hostNetwork, which the command does not" in bad[-1].reason


def test_kubectl_asks_stint_by_the_plugin_and_is_let_in(shop, tmp_path, stint):  # noqa: F811
    """kubectl runs the plugin, which asks Stint's API, whose answer opens the cluster."""
    wrapper = tmp_path / "stint-kube-credential"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -I {plugin.__file__} "$@"\n')
    wrapper.chmod(0o755)
    stint.answer = (200, {"values": {"Token": shop.token}, "expires_at": "2099-01-01T00:00:00Z"}, {})
    config = exec_kubeconfig(
        name="prod",
        server=f"https://{shop.address}:{shop.port}",
        ca=shop.ca,
        namespace="web",
        grant_ref="GR-7F3K",
        stint_url=stint.url,
    )
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
