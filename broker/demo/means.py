"""Helpers for the steps of the demo: SSH, psql, curl and the API."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.demo.agent import Agent
from broker.demo.api import Api
from broker.demo.database import ShopDatabase
from broker.demo.desk import Desk
from broker.demo.kube import Kube
from broker.demo.pipelines import Pipelines
from broker.demo.prices import Prices
from broker.demo.targets import Targets
from broker.demo.tickets import TicketsApi
from broker.demo.world import Cast

_SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10"]


class Wrong(Exception):
    """A step failed. The message describes the observation."""


@dataclass
class Means:
    """The people, the targets and the current state. ``grant`` and ``request`` are the latest; ``token`` and
    ``uri`` are the grant's credentials.
    """

    cast: Cast
    folder: Path
    ssh_port: int
    targets: Targets
    shop: ShopDatabase
    tickets: TicketsApi
    prices: Prices
    desk: Desk
    kube: Kube
    pipelines: Pipelines
    agent: Agent
    uri: str = ""
    token: str = ""
    workflow: str = ""
    grant: dict[str, Any] = field(default_factory=dict)
    incident: dict[str, Any] = field(default_factory=dict)
    number: int = 0

    def granted(
        self, cluster: str, command_set: str, *, seconds: int, parameters: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Request access, approve it as Jonas, and return the grant once it is active."""
        self.request = self.cast.priya.post(
            "/requests",
            {
                "cluster": cluster,
                "command_set": command_set,
                "parameters": parameters or {},
                "duration": seconds,
                "reason": "A customer asks about an order",
            },
        )
        self.cast.jonas.post(
            f"/requests/{self.request['ref']}/verdicts",
            {
                "verdict": "approve",
                "digest": self.request["digest"],
                "comment": "Looks good",
            },
        )
        return self.wait_for(lambda grant: grant["state"] == "active", within=10)

    def credential(self) -> dict[str, str]:
        found: dict[str, str] = self.cast.priya.post(f"/grants/{self.grant['ref']}/credential", {})["values"]
        return found

    def receipt_with_a_run(self, *, within: float) -> dict[str, Any]:
        """Return the receipt once it contains a run. An allowed request appears there within a second."""
        deadline = time.monotonic() + within
        while True:
            receipt: dict[str, Any] = self.cast.priya.get(f"/grants/{self.grant['ref']}/receipt")
            if receipt["run"]:
                return receipt
            expect(time.monotonic() < deadline, f"the receipt has no request: {receipt}")
            time.sleep(0.2)

    def held_run(self, *, within: float) -> dict[str, Any]:
        """Return the command that waits for Jonas."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for run in self.cast.jonas.get("/runs?state=held")["results"]:
                return dict(run)
            time.sleep(0.1)
        raise Wrong(f"after {within:.0f} s no command waits for approval")

    def psql_command(self, uri: str, statement: str) -> list[str]:
        return [str(self.shop.psql), "--no-psqlrc", "-At", "-c", statement, uri]

    def psql(self, uri: str, statement: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.psql_command(uri, statement),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
        )

    def curl(self, ticket: str) -> str:
        """Return the body, then the status on its own line."""
        return self._curl(f"{self.tickets.url}/tickets/{ticket}")

    def price(self, article: str, change: str = "") -> str:
        """Read or change a price through Stint's gateway. Return the body, then the status on its
        own line.
        """
        more = ["-X", "PUT", "-H", "Content-Type: application/json", "-d", change] if change else []
        return self._curl(f"{self.gateway()}/prices/{article}", *more)

    def gateway(self) -> str:
        """Return the URL of the price list at Stint's gateway, and save the gateway's CA for curl."""
        found = self.cast.priya.get("/web-gateway")
        self.authority.write_text(found["ca"], encoding="ascii")
        return f"{found['url']}/http/price-list"

    @property
    def authority(self) -> Path:
        return self.folder / "stint-ca.pem"

    def curl_command(self, url: str, *more: str) -> list[str]:
        return [
            "curl",
            "--silent",
            "--noproxy",
            "*",
            "--cacert",
            str(self.authority),
            "-H",
            f"Authorization: Bearer {self.token}",
            *more,
            url,
        ]

    def _curl(self, url: str, *more: str) -> str:
        done = subprocess.run(
            self.curl_command(url, "--max-time", "10", "-w", "\n%{http_code}", *more),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        expect(done.returncode == 0, said(done))
        return done.stdout.strip()

    def command(self, target: str, line: str) -> list[str]:
        known = [
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "-o",
            "LogLevel=ERROR",
        ]
        return [
            "ssh",
            *_SSH,
            *known,
            "-i",
            str(self.cast.key),
            "-p",
            str(self.ssh_port),
            f"{target}@127.0.0.1",
            line,
        ]

    def shown(self, target: str, line: str) -> str:
        return f"ssh -p {self.ssh_port} {target}@127.0.0.1 {line}"

    def ssh(self, target: str, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(target, line),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def wait_for(
        self, is_so: Callable[[dict[str, Any]], bool], *, within: float, whose: Api | None = None
    ) -> dict[str, Any]:
        api = whose or self.cast.priya
        deadline = time.monotonic() + within
        grant: dict[str, Any] = {}
        while time.monotonic() < deadline:
            request = api.get(f"/requests/{self.request['ref']}")
            if request.get("grant"):
                grant = api.get(f"/grants/{request['grant']}")
                if is_so(grant):
                    return grant
            time.sleep(0.1)
        raise Wrong(
            f"after {within:.0f} s the grant is {grant.get('state', 'not made')}:"
            f" {grant.get('last_error', '')}"
        )


def expect(condition: bool, seen: str) -> None:
    """Raise Wrong with the observation, unless the condition is true."""
    if not condition:
        raise Wrong(seen)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return a program's exit status and output."""
    return f"exit {done.returncode}; stdout {done.stdout.strip()!r}; stderr {done.stderr.strip()!r}"


def first(answer: str) -> str:
    """Return an error response as one line: its status and title."""
    body, _, status = answer.rpartition("\n")
    try:
        title = json.loads(body).get("title", "")
    except ValueError:
        title = ""
    return f"{status} {title}".strip()
