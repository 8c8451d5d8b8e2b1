"""A Kubernetes cluster as a target, simulated by the small Kubernetes API of Stint's tests, with real
processes in its pods.

Its administrator and the holder of a grant use a real kubectl.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from broker.demo.release_catalog import RELEASE
from broker.embedded.errors import EmbeddedError
from broker.embedded.state import REPOSITORY
from sessions_app.connectors.kubernetes import plugin
from sessions_app.connectors.kubernetes.kubeconfig import PLUGIN, token_kubeconfig
from sessions_app.connectors.kubernetes.setup import ceiling, target_setup
from sessions_app.policy.commands.kinds import compile_open, parse_text
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS

_HOST = "127.0.0.1"
_STOP_S = 10.0
_SHOP = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "registry.example/web:v1.4.1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {containers: [{name: app, image: "registry.example/web:v1.4.1", command: [sleep, "86400"]}]}
"""


class Kube:
    """The cluster, as a context manager. ``token``: the token of Stint's service account. ``ca``: the
    cluster's CA as PEM.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kubectl = usable_kubectl()
        self._stack = contextlib.ExitStack()
        self.port, self.ca, self.token = 0, "", ""

    def __enter__(self) -> Self:
        """Start the cluster, and create the shop and Stint's service account as its administrator."""
        self._folder.mkdir(mode=0o700)
        with self._stack:
            admin = self._start()
            self._install_plugin()
            self._config = self._folder / "admin.json"
            self._config.write_text(admin, encoding="utf-8")
            self._apply({"shop.yaml": _SHOP, "stint.yaml": _own_account()})
            self.token = base64.b64decode(self._secret("token")).decode()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the cluster and the processes in its pods."""
        self._stack.close()

    def image(self) -> str:
        """Return the image of the shop's deployment, read as the cluster's administrator."""
        path = "{.spec.template.spec.containers[0].image}"
        return self._as_admin("get", "deployment/web", "-n", "shop", "-o", f"jsonpath={path}")

    def command(self, config: Path, *words: str) -> list[str]:
        """Return the argument vector of kubectl with a kubeconfig."""
        return [self._kubectl, "--kubeconfig", str(config), *words]

    def environment(self, token: str = "") -> dict[str, str]:
        """Return the environment of kubectl: its own HOME, a PATH with Stint's plugin, and an API token."""
        return {
            "PATH": f"{self._folder}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "STINT_TOKEN": token,
        }

    def find_process(self, *argv: str, within: float) -> int | None:
        """Return the ID of the process with these arguments in a pod (which runs on this machine),
        or None.
        """
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for entry in Path("/proc").iterdir():
                with contextlib.suppress(OSError):
                    if self._in_a_pod(entry) and _argv(entry) == [*argv]:
                        return int(entry.name)
            time.sleep(0.02)
        return None

    def _in_a_pod(self, entry: Path) -> bool:
        return entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(self._folder / "pods")

    def _start(self) -> str:
        """Start the API server, and return its administrator's kubeconfig."""
        command = [sys.executable, "-m", "tests.support.servers.kubernetes.serve", str(self._folder)]
        # In its own session, so that Ctrl-C reaches only the demo, which then stops the server.
        running = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._stack.callback(_end, running)
        said = running.stdout.readline() if running.stdout else ""
        if not said:
            raise EmbeddedError("The Kubernetes API of the tests did not start.")
        made: dict[str, Any] = json.loads(said)
        self.port, self.ca = made["port"], made["ca"]
        server = f"https://{_HOST}:{self.port}"
        return token_kubeconfig(name="shop", server=server, ca=self.ca, namespace="", token=made["token"])

    def _install_plugin(self) -> None:
        script = self._folder / PLUGIN
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{plugin.__file__}" "$@"\n', encoding="utf-8")
        script.chmod(0o755)

    def _apply(self, manifests: Mapping[str, str]) -> None:
        for name, text in manifests.items():
            (self._folder / name).write_text(text, encoding="utf-8")
        self._as_admin("apply", *(f"--filename={self._folder / name}" for name in manifests))

    def _secret(self, key: str) -> str:
        return self._as_admin(
            "-n", "stint-system", "get", "secret", "stint", "-o", f"jsonpath={{.data.{key}}}"
        )

    def _as_admin(self, *words: str) -> str:
        done = subprocess.run(
            self.command(self._config, *words),
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        if done.returncode:
            raise EmbeddedError(f"kubectl {words[0]} failed on the demo's cluster: {done.stderr.strip()}")
        return done.stdout


def usable_kubectl() -> str:
    """Return the path of kubectl. Raises EmbeddedError."""
    found = shutil.which("kubectl")
    if found is None:
        raise EmbeddedError("kubectl was not found. Install Debian's `kubernetes-client`.")
    return found


def _own_account() -> str:
    """Return the manifests of Stint's service account, with the permissions that the command set needs."""
    compiled = compile_open(parse_text(RELEASE))
    return target_setup(ceiling([compiled] if isinstance(compiled, CompiledSet) else []), accounts=ACCOUNTS)


def _argv(entry: Path) -> list[str]:
    return (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]


def _end(running: subprocess.Popen[str]) -> None:
    """Stop the API server, which exits at the end of its standard input."""
    with running:
        if running.stdin:
            running.stdin.close()
        try:
            running.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            running.kill()
