"""The tests' kubelet as the only node of a real API server.

It takes every unscheduled pod, runs its containers, and serves the API server's requests to a kubelet.
Source: k8s.io/kubernetes `pkg/registry/core/pod/strategy.go` (the paths and queries of exec, attach, port-
forward, logs).
"""

import contextlib
import http.client
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.servers.kubernetes.cluster import Cluster
from tests.support.servers.kubernetes.controllers import PODS, settle
from tests.support.servers.kubernetes.kubelet import Kubelet
from tests.support.servers.kubernetes.server import Call, Handler, Listener
from tests.support.servers.kubernetes.store import Refusal
from tests.support.servers.kubernetes.streams import PROTOCOLS, PortForward, attach, exec_
from tests.support.servers.kubernetes.tls import authority

NAME = "stint-test"
# The API server's names for the streams of a command in requests to a kubelet.
_STREAMS = {"input": "stdin", "output": "stdout", "error": "stderr"}


@dataclass
class Node:
    """The node, while it is entered. `calls` has the API server's requests."""

    cluster: Cluster
    folder: Path
    calls: list[Call] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.kubelet = Kubelet(self.folder / "pods")
        self.stopping = threading.Event()
        self._http = Listener(self, authority(self.folder, "kubelet")[1], _Handler)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._register()
        self._agent = threading.Thread(target=self._run_pods, daemon=True)
        self._agent.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._agent.join()
        self._http.shutdown()
        self._http.server_close()
        self.kubelet.stop()
        self.cluster.call("DELETE", f"/api/v1/nodes/{NAME}")

    def _register(self) -> None:
        self.cluster.call("DELETE", f"/api/v1/nodes/{NAME}")
        self.cluster.call("POST", "/api/v1/nodes", {"metadata": {"name": NAME}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._http.server_address[1]}},
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        code, answer = self.cluster.call("PATCH", f"/api/v1/nodes/{NAME}/status", {"status": status})
        assert code == 200, answer

    def _run_pods(self) -> None:
        """Reconcile the running containers with the API server's pods, ten times a second."""
        running: dict[str, tuple[str, str]] = {}
        while not self.stopping.wait(0.1):
            with contextlib.suppress(OSError, http.client.HTTPException):
                pods = {
                    pod["metadata"]["uid"]: pod
                    for pod in self.cluster.call("GET", "/api/v1/pods")[1]["items"]
                }
                for uid in running.keys() - pods.keys():
                    self.kubelet.remove(*running.pop(uid))
                for uid, pod in pods.items():
                    if uid not in running or "deletionTimestamp" in pod["metadata"]:
                        self._take(pod, running)

    def _take(self, pod: dict[str, Any], running: dict[str, tuple[str, str]]) -> None:
        """Start a new pod, or end one that is to be deleted."""
        meta = pod["metadata"]
        where = meta["namespace"], meta["name"]
        path = f"/api/v1/namespaces/{where[0]}/pods/{where[1]}"
        if "deletionTimestamp" in meta:
            self.kubelet.remove(*where)
            self.cluster.call("DELETE", path, {"gracePeriodSeconds": 0})
            return
        if not pod["spec"].get("nodeName"):
            target = {"target": {"kind": "Node", "name": NAME}, "metadata": {"name": where[1]}}
            self.cluster.call("POST", f"{path}/binding", {"apiVersion": "v1", "kind": "Binding", **target})
        self.kubelet.start(pod)
        running[meta["uid"]] = where
        fresh: dict[str, Any] = {"metadata": {}, "spec": pod["spec"]}
        settle(PODS, fresh, None, 0.0)
        self.cluster.call("PATCH", f"{path}/status", {"status": fresh["status"]})


class _Handler(Handler):
    """The API server's requests to a kubelet: /WHAT/NAMESPACE/POD[/CONTAINER]."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        what, namespace, pod, *name = url.path.strip("/").split("/")
        asked = {_STREAMS.get(key, key): values for key, values in parse_qs(url.query).items()}
        try:
            container = self.server.api.kubelet.container(namespace, pod, *name)
        except Refusal as refusal:
            return self._send(refusal.code, refusal.status)
        if what == "containerLogs":
            return self.log(container, asked)
        web = self.upgraded(PROTOCOLS[what.lower()])
        if what == "portForward":
            return PortForward(web, self.server.api.kubelet).serve()
        return {"exec": exec_, "attach": attach}[what](web, container, asked)

    do_GET = do_POST = _serve  # noqa: N815
