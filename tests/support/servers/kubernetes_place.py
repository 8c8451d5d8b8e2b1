"""The Kubernetes gateway as a process, with an API server and its kubelet behind it, in its own database."""

import contextlib
import functools
import http.client
import io
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from broker.demo.ports import free_port
from tests.conftest import fresh_database
from tests.support.pace import unhurried
from tests.support.servers.gateway import ACT
from tests.support.servers.kubernetes.cluster import Cluster
from tests.support.servers.kubernetes.kubelet import Kubelet
from tests.support.servers.kubernetes.real import some_cluster
from tests.support.servers.kubernetes.server import ApiServer
from tests.support.servers.running import Running, start
from tests.support.waits import eventually
from tests.support.world.world import World, make_world

SET = """
name: run-shop
kind: kubernetes
summary: What the tests run
risk: high
commands:
  - run: get pods -n shop
    effect: read
  - run: get pods -w -n shop
    effect: read
  - run: logs {pod} -n shop -f
    where: {pod: {choice: [web-1]}}
    effect: read
  - run: scale deployment/web -n shop --replicas {n}
    where: {n: {int: [1, 5]}}
    effect: change
  - run: set image deployment/web app={image} -n shop
    where: {image: {choice: ["shop/web:1.4"]}}
    effect: change
  - run: rollout restart deployment/web -n shop
    effect: change
    hold: true
  - run: exec {pod} -n shop -c app -- test {kind} {tag}
    where:
      pod: {choice: [web-1]}
      kind: {choice: [sleep, nohup, setsid, daemon, leave, fork, stubborn, blind, flood, print, status, count,
        both]}
      tag: {int: [0, 9999999]}
    effect: change
  - run: exec web-1 -n shop -c app -- test sleep {tag} finish
    where: {tag: {int: [0, 9999999]}}
    effect: change
    end: {finish: 10s}
  - run: exec -i web-1 -n shop -c app -- test count 0
    effect: change
  - run: exec bare-1 -n shop -c app -- /usr/bin/env true
    effect: read
  - run: exec bare-1 -n shop -c app -- /usr/bin/env
    effect: read
    contain: none
  - run: attach web-1 -n shop -c app
    effect: change
  - run: port-forward pod/web-1 -n shop 8080
    effect: change
"""
RELEASE = """
name: release-shop
kind: kubernetes
summary: Release one image of the shop
risk: high
parameters:
  image: {pattern: "shop/web:[0-9.]{1,20}"}
commands:
  - run: set image deployment/web app={image} -n shop
    effect: change
  - run: rollout undo deployment/web -n shop
    effect: change
  - run: rollout undo deployment/cart -n shop
    effect: change
    hold: true
"""
POD = {
    "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {
        "containers": [
            {
                "name": "app",
                "image": "shop/web:1.3",
                "command": ["sh", "-c", "while :; do date; sleep 0.2; done"],
            }
        ]
    },
}
DEPLOYMENT = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "shop/web:1.3"}]},
        },
    },
}


@dataclass
class Place(Running):
    """The running gateway and the cluster behind it."""

    world: World
    cluster: Cluster
    folder: Path
    env: dict[str, str]
    port: int
    gateway: subprocess.Popen[bytes] | None = None
    tokens: dict[int, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/kubernetes/prod"

    @property
    def server(self) -> ApiServer:
        """The server in this process, which can be made to fail."""
        if self.cluster.server is None:
            pytest.skip("the API server of STINT_TEST_KUBECONFIG can't be told to fail")
        return self.cluster.server

    @property
    def kubelet(self) -> Kubelet:
        assert self.cluster.kubelet is not None
        return self.cluster.kubelet

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    def processes(self) -> list[int]:
        """Return the processes in the container besides its own."""
        made = self.kubelet.container("shop", "web-1")
        own = {made.main.pid} if made.main else set()
        return [pid for pid in made.processes() if pid not in own]

    def grant(self, **changes: Any) -> Any:
        """Return a grant of alice whose account is on the cluster.

        A short `duration` in seconds grows on a busy machine.
        """
        from broker.kernel import clock
        from sessions_app.models import Sweeper

        Sweeper.objects.update(seen_at=clock.now())
        asked = {"cluster": "prod", "command_set": "run-shop", "parameters": {}, **unhurried(changes)}
        grant = self.world.grant(now=clock.now(), **asked)
        self.prepare(grant)
        return grant

    def prepare(self, grant: Any) -> None:
        """Create the account of a grant on the cluster."""
        from broker.kernel import clock
        from sessions_app.operations.grants.prepare_grant import prepare_grant

        def is_made() -> bool:
            # Like the worker: retry if the gateway's own sweep has the grant at this moment.
            prepare_grant(grant_id=grant.pk, now=clock.now)
            grant.refresh_from_db()
            return grant.state not in ("scheduled", "provisioning")

        eventually(is_made, within=20)
        assert grant.state == "active", (grant.state, grant.end_reason, grant.last_error)

    def token(self, grant: Any) -> str:
        from broker.kernel import clock
        from sessions_app.operations.grants.issue_credential import issue_credential

        if grant.pk not in self.tokens:
            actor = grant.holder if grant.holder.kind == "person" else grant.holder.owner
            made = issue_credential(grant_id=grant.pk, actor=actor, target=None, now=clock.now())
            self.tokens[grant.pk] = made.fields["Token"]
        return self.tokens[grant.pk]

    @functools.cached_property
    def ca(self) -> str:
        """The certificate of the gateway's authority, read from the database on first use."""
        from sessions_app.queries.gateways.keys import gateway_bundle

        found = gateway_bundle()
        assert found
        return found

    @functools.cached_property
    def context(self) -> ssl.SSLContext:
        """A context that trusts the gateway."""
        return ssl.create_default_context(cadata=self.ca)

    def ask(
        self,
        grant: Any,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        timeout: float = 60,
        source: str = "127.0.0.1",
        **headers: str,
    ) -> tuple[int, Any]:
        """Send one request with the token of a grant, from an address.

        Return its status, and the response's JSON.
        """
        line = http.client.HTTPSConnection(
            "localhost", self.port, context=self.context, timeout=timeout, source_address=(source, 0)
        )
        head = {"Authorization": f"Bearer {self.token(grant)}", **headers}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(line):
            line.request(
                method, f"/kubernetes/prod{path}", data, {**head, **({"Content-Type": kind} if data else {})}
            )
            answer = line.getresponse()
            said = answer.read()
            return answer.status, json.loads(said) if said[:1] in (b"{", b"[") else said

    def kubeconfig(self, grant: Any) -> Path:
        """Return a kubeconfig with the grant's token, as the plugin would give it."""
        from sessions_app.connectors.kubernetes.kubeconfig import token_kubeconfig

        file = self.folder / f"{grant.ref}.json"
        file.write_text(
            token_kubeconfig(
                name="prod",
                server=self.url,
                ca=self.ca,
                namespace="shop",
                token=self.token(grant),
            )
        )
        return file

    def env_of_kubectl(self) -> dict[str, str]:
        """The environment of kubectl: this machine's path, and its own home folder."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {"PATH": os.environ["PATH"], "HOME": str(home)}

    def kubectl(self, grant: Any, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start kubectl with a grant."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            ["kubectl", "--kubeconfig", str(self.kubeconfig(grant)), *words],
            env=self.env_of_kubectl(),
            **{**pipes, **more},
        )

    def run(
        self, grant: Any, *words: str, stdin: bytes = b"", timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run kubectl to its end."""
        started = self.kubectl(grant, *words, stdin=subprocess.PIPE)
        try:
            out, err = started.communicate(stdin, timeout=timeout)
        finally:
            started.kill()
        return subprocess.CompletedProcess(words, started.returncode, out, err)

    def start(self, **env: str) -> None:
        """Start the gateway and wait until it answers."""
        with self.log.open("ab") as log:
            self.gateway = start(
                "manage.py",
                "gateway",
                "--protocols",
                "kubernetes",
                "--port",
                str(self.port),
                "--name",
                "tested",
                env={**self.env, **env},
                stderr=log,
            )
        eventually(self._answers, within=30)

    def _answers(self) -> bool:
        assert self.gateway is not None
        assert self.gateway.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


def accepted(text: str) -> str:
    """Return the file of a command set with all warnings accepted, since tests may run anything."""
    from sessions_app.policy.commands.kinds import lint, parse_text

    found = [one for one in lint(parse_text(text)) if one.severity == "warning"]
    reasons = {f"{one.code} {one.where}": "only in tests" for one in found}
    return text + yaml.safe_dump({"accept": reasons}) if reasons else text


def policy(name: str, **more: Any) -> str:
    """Return one policy for the cluster."""
    said = {
        "name": name,
        "summary": "Work on the shop",
        "clusters": ["prod"],
        "command_sets": ["run-shop", "release-shop"],
        "requesters": {"groups": ["operators"]},
        "approvals": [{"count": 1, "from": ["approvers"]}],
        "max_duration": "4h",
        **more,
    }
    return json.dumps(said)


def set_up(world: World, cluster: Cluster, files: dict[str, str], now: Any) -> None:
    """Set up the cluster as its administrator, and add it to the catalog, with its workloads."""
    sets = {path: accepted(text) for path, text in files.items() if path.startswith("command-sets/")}
    files = {**files, **sets}
    world.apply(sets, now=now)
    cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    words = [word for path in sets for word in ("--command-set", Path(path).stem)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        call_command("kubernetes_target_setup", "prod", *words, stdout=out)
    cluster.apply(out.getvalue())
    connection = {"ca": cluster.ca, "token": cluster.token_of("stint-system", "stint")}
    head = "name: prod\nkind: kubernetes\nsummary: One\nenvironment: production\nrisk: medium\n"
    rows = f"targets:\n  - {{name: prod-1, address: {cluster.address}, port: {cluster.port}}}\n"
    world.catalog.update(
        {"clusters/prod.yaml": f"{head}{rows}connection: {json.dumps(connection)}\n", **files}
    )
    world.apply(now=now)
    cluster.call("POST", "/apis/apps/v1/namespaces/shop/deployments", DEPLOYMENT)
    cluster.call("POST", "/api/v1/namespaces/shop/pods", POD)


@contextlib.contextmanager
def programs(folder: Path) -> Iterator[None]:
    """Put the tests' programs on the PATH of containers, which is this process's, until the block ends."""
    folder.mkdir()
    act = folder / "test"
    act.write_text(ACT, encoding="utf-8")
    act.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def gateway_before(
    world: World,
    environment: dict[str, str],
    folder: Path,
    *,
    files: dict[str, str] | None = None,
    change: Callable[[dict[str, str]], dict[str, str]] = dict,
) -> Iterator[Place]:
    """Run a cluster and the gateway in front of it until the block ends; ``change`` changes the gateway's
    environment.
    """
    from broker.kernel import clock

    with programs(folder / "programs"), some_cluster(folder) as cluster:
        port = free_port()
        sets = {"command-sets/run-shop.yaml": SET, "command-sets/release-shop.yaml": RELEASE}
        known = {**sets, "policies/prod-work.yaml": policy("prod-work")}
        set_up(world, cluster, {**known, **(files or {})}, clock.now())
        env = {
            **environment,
            "STINT_GATEWAY_PUBLIC_URL": f"https://localhost:{port}",
            "STINT_STATE_DIR": str(folder / "state"),
        }
        (folder / "state").mkdir(mode=0o700, exist_ok=True)
        place = Place(world, cluster, folder, change(env), port)
        try:
            place.start()
            yield place
        finally:
            place.stop(signal.SIGTERM)


@contextlib.contextmanager
def kubernetes_place(blocker: Any, folder: Path, **more: Any) -> Iterator[Place]:
    """Run it all in a new database until the block ends, as ``gateway_before`` does."""
    from broker.kernel import clock

    with fresh_database(blocker) as database:
        clock.sync()
        with gateway_before(make_world(clock.now()), database.env, folder, **more) as place:
            yield place
        assert "Traceback" not in place.log.read_text(), place.log.read_text()
