"""A cluster to test on: the API server in this process, or the one in STINT_TEST_KUBECONFIG."""

import base64
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.pace import allow
from tests.support.servers.kubernetes.kubelet import Kubelet
from tests.support.servers.kubernetes.server import ApiServer, Call


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition becomes true: a real API server applies a change within a third of a second.

    On a busy machine it may take longer than `seconds`.
    """
    began = time.monotonic()
    while not (true := condition()) and time.monotonic() - began < allow(seconds):
        time.sleep(0.05)
    return true


@dataclass
class Cluster:
    """Its address, its administrator, the requests that it received and the programs that run on it.

    `server` is set only for the one in this process.
    """

    address: str
    port: int
    ca: str
    context: ssl.SSLContext = field(repr=False)
    token: str = field(default="", repr=False)
    server: ApiServer | None = None
    calls: list[Call] = field(default_factory=list)
    kubelet: Kubelet | None = None

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, dict]:
        """Send one request as the administrator or with a token."""
        connection = http.client.HTTPSConnection(self.address, self.port, context=self.context, timeout=15)
        used = self.token if token is None else token
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {used}"} if used else {})}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def as_holder(self, method: str, path: str, token: str, body: Any = None) -> int:
        """Return the status of a request with a holder's token and no client certificate."""
        plain = Cluster(self.address, self.port, self.ca, ssl.create_default_context(cadata=self.ca))
        return plain.call(method, path, body, token=token)[0]

    def apply(self, text: str) -> None:
        """Do what `kubectl apply` does with a file, for objects to create or replace."""
        for one in yaml.safe_load_all(text):
            path = _path_of(one)
            status, _ = self.call("POST", path, one)
            if status == 409 and one["kind"] not in ("Namespace", "ServiceAccount", "Secret"):
                self.call("DELETE", f"{path}/{one['metadata']['name']}")
                status, _ = self.call("POST", path, one)
            assert status in (200, 201, 409), (status, one)

    def token_of(self, namespace: str, name: str) -> str:
        body = {"spec": {"expirationSeconds": 3600}}
        status, answer = self.call(
            "POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", body
        )
        assert status == 201, answer
        return answer["status"]["token"]


def _path_of(one: dict) -> str:
    version, meta = one["apiVersion"], one["metadata"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    where = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{root}{where}/{one['kind'].lower()}s"


def in_process(server: ApiServer) -> Cluster:
    context = ssl.create_default_context(cadata=server.ca)
    return Cluster(
        server.address, server.port, server.ca, context, server.admin, server, server.calls, server.kubelet
    )


def from_kubeconfig(path: str) -> Cluster:
    """Return the current context of a kubeconfig that contains a token or a client certificate."""
    config = yaml.safe_load(Path(path).read_text())
    current = next(one["context"] for one in config["contexts"] if one["name"] == config["current-context"])
    about = next(one["cluster"] for one in config["clusters"] if one["name"] == current["cluster"])
    user = next(one["user"] for one in config["users"] if one["name"] == current["user"])
    ca = _data(about, "certificate-authority")
    context = ssl.create_default_context(cadata=ca)
    if "client-certificate-data" in user or "client-certificate" in user:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
            pem.write(_data(user, "client-certificate") + "\n" + _data(user, "client-key"))
            pem.flush()
            context.load_cert_chain(pem.name)
    url = urlsplit(about["server"])
    return Cluster(url.hostname or "", url.port or 443, ca, context, user.get("token", ""))


def _data(part: dict, key: str) -> str:
    written = part.get(f"{key}-data")
    return base64.b64decode(written).decode() if written else Path(part[key]).read_text()
