"""The API server of the tests does for Debian's kubectl what a real one with a kubelet does."""

import contextlib
import json
import math
import os
import re
import signal
import socket
import socketserver
import subprocess
import threading
import time
from pathlib import Path

import pytest

from sessions_app.connectors.kubernetes.kubeconfig import token_kubeconfig
from tests.support.pace import allow
from tests.support.servers.kubernetes.cluster import Cluster, eventually, in_process
from tests.support.servers.kubernetes.patches import JSON, STRATEGIC, patched
from tests.support.servers.kubernetes.server import ApiServer

pytestmark = pytest.mark.processes

TICKER = 'n=0; while :; do n=$((n + 1)); echo "tick $n"; sleep 0.1; done'
PODS, APPS = "/api/v1/namespaces/web/pods", "/apis/apps/v1/namespaces/web"


def pod(name: str, *argv: str, **more) -> dict:
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "shop:1", "command": list(argv), **more}]},
    }


@pytest.fixture(scope="module")
def cluster(processes, tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("wire"), cache_seconds=0.0) as server:
        made = in_process(server)
        made.call("POST", "/api/v1/namespaces", {"metadata": {"name": "web"}})
        made.call("POST", "/api/v1/nodes", {"metadata": {"name": "node-1"}, "spec": {}})
        yield made


@pytest.fixture
def web(cluster):
    """A namespace with one pod that ticks, and a deployment."""
    template = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {
            "containers": [
                {"name": "app", "image": "shop:1", "env": [{"name": "A", "value": "1"}]},
                {"name": "log", "image": "log:1"},
            ]
        },
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "shop"}}, "template": template}
    cluster.call("POST", PODS, pod("ticker", "sh", "-c", TICKER))
    cluster.call("POST", f"{APPS}/deployments", {"metadata": {"name": "shop"}, "spec": spec})
    yield cluster
    for path in (f"{PODS}/ticker", f"{APPS}/deployments/shop"):
        cluster.call("DELETE", path)


class Kubectl:
    """kubectl with a kubeconfig of its own."""

    def __init__(self, cluster: Cluster, folder: Path, token: str) -> None:
        config = token_kubeconfig(
            name="prod",
            server=f"https://{cluster.address}:{cluster.port}",
            ca=cluster.ca,
            namespace="web",
            token=token,
        )
        (folder / "kubeconfig").write_text(config)
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(folder / "kubeconfig"),
        }

    def __call__(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["kubectl", *words],
            input=stdin,
            capture_output=True,
            env=self._env,
            timeout=allow(20),
            check=False,
        )

    def said(self, *words: str, stdin: bytes = b"") -> str:
        done = self(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    @contextlib.contextmanager
    def running(self, *words: str):
        pipe = subprocess.PIPE
        process = subprocess.Popen(["kubectl", *words], stdin=pipe, stdout=pipe, stderr=pipe, env=self._env)
        with process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def kubectl(web, tmp_path):
    return Kubectl(web, tmp_path, web.token)


def container_of(cluster: Cluster, name: str = "ticker"):
    return cluster.server.kubelet.container("web", name)


def deployment(cluster: Cluster) -> dict:
    return cluster.call("GET", f"{APPS}/deployments/shop")[1]


def test_exec_passes_input_output_and_the_status_on(kubectl):
    text = os.urandom(300_000)
    assert kubectl("exec", "-i", "ticker", "--", "cat", stdin=text).stdout == text
    done = kubectl("exec", "ticker", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, b"out\n")
    assert done.stderr.startswith(b"err\n")
    assert b"137" in kubectl("exec", "ticker", "--", "sh", "-c", "kill -9 $$").stderr


def test_what_exec_started_outlives_its_stream(kubectl, web):
    before = set(container_of(web).processes())
    with kubectl.running("exec", "ticker", "--", "sleep", "1000") as process:
        assert eventually(lambda: commands(web, before) == ["sleep 1000"])
        process.kill()
    time.sleep(0.5)
    assert commands(web, before) == ["sleep 1000"]


def commands(cluster: Cluster, before: set[int]) -> list[str]:
    texts = map(_command, sorted(set(container_of(cluster).processes()) - before))
    # Its own shell goes on starting sleeps, each of which is a copy of the shell first.
    return [text for text in texts if text not in ("", "sleep 0.1") and TICKER not in text]


def _command(pid: int) -> str:
    """What a process runs; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return ""


def test_the_input_of_what_exec_started_ends_with_its_stream(kubectl, web):
    ended = container_of(web).folder / "ended"
    with kubectl.running("exec", "-i", "ticker", "--", "sh", "-c", f"cat; echo > {ended}") as process:
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"hello\n"
        assert not ended.exists()
        process.send_signal(signal.SIGKILL)
        assert eventually(ended.exists)


def test_logs_show_what_was_written_and_follow_shows_what_is(kubectl):
    assert eventually(lambda: re.fullmatch(r"(tick \d+\n){2}", kubectl.said("logs", "ticker", "--tail=2")))
    with kubectl.running("logs", "-f", "ticker", "--tail=1") as process:
        numbers = [int(process.stdout.readline().split()[1]) for _ in range(5)]
    assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_attach_writes_to_the_containers_own_process(kubectl, web):
    web.call("POST", PODS, pod("reader", "sh", "-c", "read line; echo got $line", stdin=True))
    try:
        assert "got it" in kubectl.said("attach", "-i", "reader", stdin=b"it\n")
    finally:
        web.call("DELETE", f"{PODS}/reader")


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


@pytest.fixture
def echo():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def forwarded(process) -> int:
    return int(re.search(rb"127\.0\.0\.1:(\d+)", process.stdout.readline())[1])


def test_port_forward_carries_a_transfer_both_ways(kubectl, web, echo):
    web.server.kubelet.ports[8080] = echo
    text = os.urandom(3_000_000)
    with kubectl.running("port-forward", "pod/ticker", ":8080") as process:
        port = forwarded(process)
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=allow(20)) as connection:
                sending = threading.Thread(
                    target=lambda to=connection: (to.sendall(text), to.shutdown(socket.SHUT_WR))
                )
                sending.start()
                assert connection.makefile("rb").read() == text
                sending.join()


def test_port_forward_tells_that_nothing_listens(kubectl, web):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        web.server.kubelet.ports[81] = unused.getsockname()[1]
        with kubectl.running("port-forward", "pod/ticker", ":81") as process:
            with socket.create_connection(("127.0.0.1", forwarded(process)), timeout=allow(10)) as connection:
                assert connection.recv(1) == b""
            assert b"inside namespace" in process.stderr.readline()


def test_a_pod_that_is_deleted_takes_its_processes_along(kubectl, web):
    container = container_of(web)
    before = set(container.processes())
    with kubectl.running("exec", "ticker", "--", "setsid", "env", "-i", "/bin/sleep", "1000"):
        assert eventually(lambda: commands(web, before) == ["/bin/sleep 1000"])
        assert "deleted" in kubectl.said("delete", "pod", "ticker")
    assert container.processes() == []


def test_a_watch_goes_on_after_the_version_that_was_listed(web):
    version = web.call("GET", PODS)[1]["metadata"]["resourceVersion"]
    web.call("POST", PODS, pod("late"))
    web.call("DELETE", f"{PODS}/late")
    # For as long as the server may need to come to it.
    seconds = math.ceil(min(allow(2), 8))
    query = f"watch=true&timeoutSeconds={seconds}&resourceVersion={version}&fieldSelector=metadata.name=late"
    assert [one["type"] for one in events(web, f"{PODS}?{query}")] == ["ADDED", "DELETED"]
    assert [
        one["object"]["metadata"]["name"] for one in events(web, "/api/v1/pods?watch=true&timeoutSeconds=1")
    ] == ["ticker"]


def events(cluster: Cluster, path: str) -> list[dict]:
    import http.client

    connection = http.client.HTTPSConnection(
        cluster.address, cluster.port, context=cluster.context, timeout=15
    )
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Bearer {cluster.token}"})
        return [json.loads(line) for line in connection.getresponse().read().splitlines()]


def test_apply_creates_and_changes_in_both_ways(kubectl, web):
    for more in ([], ["--server-side"]):
        name = f"config{len(more)}"
        for value in ("1", "2"):
            text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '{value}'}}\n"
            kubectl.said("apply", *more, "-f", "-", stdin=text.encode())
        made = web.call("GET", f"/api/v1/namespaces/web/configmaps/{name}")[1]
        assert made["data"] == {"a": "2"}
    assert made["metadata"]["managedFields"] == [{"manager": "kubectl", "operation": "Apply"}]


def test_rollout_undo_restores_the_template_of_a_revision(kubectl, web):
    current = deployment(web)
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "shop",
        "uid": current["metadata"]["uid"],
        "controller": True,
    }
    for number in ("1", "2"):
        template = json.loads(json.dumps(current["spec"]["template"]))
        template["spec"]["containers"][0]["image"] = f"old:{number}"
        meta = {
            "name": f"shop-{number}",
            "labels": {"app": "shop"},
            "ownerReferences": [owner],
            "annotations": {"deployment.kubernetes.io/revision": number},
        }
        web.call(
            "POST",
            f"{APPS}/replicasets",
            {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": template}},
        )
    kubectl.said("rollout", "undo", "deployment/shop", "--to-revision=1")
    assert deployment(web)["spec"]["template"]["spec"]["containers"][0]["image"] == "old:1"


def test_a_stream_needs_the_right_to_get_and_to_create(web, tmp_path):
    for number, verbs in enumerate((["get"], ["create"], ["get", "create"])):
        name = f"reader-{number}"
        rules = [
            {"verbs": verbs, "apiGroups": [""], "resources": ["pods/exec"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
        ]
        rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/web"
        web.call("POST", "/api/v1/namespaces/web/serviceaccounts", {"metadata": {"name": name}})
        web.call("POST", f"{rbac}/roles", {"metadata": {"name": name}, "rules": rules})
        web.call(
            "POST",
            f"{rbac}/rolebindings",
            {
                "metadata": {"name": name},
                "roleRef": {"kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "web"}],
            },
        )
        done = Kubectl(web, tmp_path, web.token_of("web", name))("exec", "ticker", "--", "true")
        assert (done.returncode == 0) == (len(verbs) == 2), done.stderr
    assert b"cannot" not in done.stderr


@pytest.mark.parametrize(
    ("patch", "made"),
    [
        (
            [{"op": "test", "path": "/a/0", "value": 1}, {"op": "remove", "path": "/a/0"}],
            {"a": [2], "b~/": 1},
        ),
        (
            [{"op": "add", "path": "/a/-", "value": 3}, {"op": "replace", "path": "/b~0~1", "value": 2}],
            {"a": [1, 2, 3], "b~/": 2},
        ),
        (
            [{"op": "move", "from": "/a", "path": "/c"}, {"op": "copy", "from": "/c/1", "path": "/a"}],
            {"c": [1, 2], "a": 2, "b~/": 1},
        ),
    ],
)
def test_json_patch_does_what_rfc_6902_says(patch, made):
    assert patched({"a": [1, 2], "b~/": 1}, patch, JSON) == made


@pytest.mark.parametrize(
    ("patch", "made"),
    [
        ({"containers": [{"name": "b", "$patch": "delete"}]}, {"containers": [{"name": "a", "image": "1"}]}),
        (
            {"containers": [{"name": "c"}], "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]},
            {"containers": [{"name": "c"}, {"name": "a", "image": "1"}, {"name": "b"}]},
        ),
        ({"containers": [{"$patch": "replace"}, {"name": "z"}]}, {"containers": [{"name": "z"}]}),
        ({"containers": None, "$retainKeys": ["containers"]}, {}),
    ],
)
def test_strategic_merge_keeps_to_its_directives(patch, made):
    assert patched({"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}, patch, STRATEGIC) == made
