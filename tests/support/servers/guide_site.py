"""Stint as `manage.py up` runs it, with a real target of each kind, under the names used in the guides."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from broker.demo.database import BROKER, SUPERUSER, ShopDatabase
from broker.demo.desk import Desk
from broker.demo.main import Ports, run_stint
from broker.demo.ports import free_port
from broker.demo.prices import Prices
from broker.demo.tickets import TicketsApi
from broker.embedded.state import temporary_state_dir
from sessions_app.connectors.kubernetes.kubeconfig import token_kubeconfig
from tests.environment import ROOT
from tests.support.servers.kubernetes.cluster import in_process
from tests.support.servers.kubernetes.server import ApiServer
from tests.support.servers.mariadb_server import MariaDBServer
from tests.support.servers.ssh_host import SshHost, ssh_host
from tests.support.world.ci_jobs import CI, ci

URL, SSH_PORT = "https://stint.example.com", "-p 2222"
PEOPLE = ("priya", "jonas", "admin", "scribe", "runner")
# Programs that the guides run and that the target already has.
PROGRAMS = {
    # The setup has sshd reload its settings, and does so itself where there is no systemd.
    "systemctl": 'case "$1" in try-*) exit 1 ;; restart) echo "restarted $2" ;; *) echo "$*" ;; esac',
    "journalctl": 'echo "nginx started"',
}


class Site(Protocol):
    """Where a guide is followed: its replacements for names and addresses, and people's shells."""

    @property
    def names(self) -> dict[str, str]: ...

    def superuser(self, database: str) -> str: ...

    def here(self, document: dict[str, Any]) -> dict[str, Any]: ...

    def run(self, command: str, who: str, work: Path) -> subprocess.CompletedProcess[str]: ...

    def run_job(self, provider: str, text: str, work: Path) -> None: ...


@dataclass
class GuideSite:
    """A running Stint, its targets, and people's home folders."""

    folder: Path
    ports: Ports
    env: dict[str, str]
    host: SshHost
    shop: ShopDatabase
    tickets: TicketsApi
    desk: Desk
    kubernetes: ApiServer
    stock: Prices
    ci: CI
    orders: MariaDBServer
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """Replacements for the names and addresses in the guides."""
        return {
            f"{URL}/mcp": f"http://127.0.0.1:{self.ports.streams}/mcp",
            URL: self.ports.url,
            SSH_PORT: f"-p {self.ports.ssh}",
            SSH_PORT.upper(): f"-P {self.ports.ssh}",
            "https://tickets.example.com": self.tickets.url,
            "postgresql://postgres@shop-db.example.com/shop": self.superuser("shop"),
            "--host=orders-db.example.com --user=root --password": self.orders.as_root,
        }

    def superuser(self, database: str) -> str:
        """Return where the database's administrator signs in."""
        return f"postgresql://{SUPERUSER}:{self.shop.password}@127.0.0.1:{self.shop.port}/{database}"

    def here(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a document of the catalog with the targets that run here."""
        places: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
            "web-1.example.com": ({"port": self.host.port, "host_key": self.host.host_key}, {}),
            "shop-db.example.com": ({"port": self.shop.port}, {"sslmode": "prefer"}),
            "orders-db.example.com": ({"port": self.orders.port}, {"ca": self.orders.authority}),
            "tickets.example.com": ({"port": self.tickets.port}, {"tls": False}),
            "desk.example.com": ({"port": self.desk.port}, {"tls": False}),
            "prod.example.com": ({"port": self.kubernetes.port}, {}),
            "stock.example.com": ({"port": self.stock.port}, {"tls": False}),
        }
        for target in document.get("targets", []):
            if target["address"] in places:
                more, connection = places[target["address"]]
                target |= {"address": "127.0.0.1", **more}
                if connection:
                    document["connection"] |= connection
        return self.ci.here(document)

    def run(self, command: str, who: str, work: Path) -> subprocess.CompletedProcess[str]:
        """Run a command that a person types in a folder."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=work,
            env=self.env_of(who, work),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        made = re.match(r"python manage\.py person (\S+) .*--token", command)
        if made and done.returncode == 0:
            # Keep it, as the guide says: it is shown only once.
            self.tokens[made[1]] = done.stdout.splitlines()[-1]
        return done

    def run_job(self, provider: str, text: str, work: Path) -> None:
        """Run the job in a CI provider's file on a runner, which has nothing of Stint's except its
        address.
        """

        def run(script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
            of_the_runner = self.env_of("runner", work)
            del of_the_runner["STINT_TOKEN"]
            return subprocess.run(
                ["bash", "-eo", "pipefail", "-c", script],
                cwd=work,
                env=of_the_runner | env,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=False,
            )

        self.ci.run(provider, text, work, run)

    def env_of(self, who: str, work: Path) -> dict[str, str]:
        """Return a person's environment; an administrator's is on Stint's own machine."""
        mine = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}:/usr/sbin",
            "HOME": str(self.folder / who),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONWARNINGS": "error",
            "PWD": str(work),
            "STINT_URL": self.ports.url,
            "STINT_TOKEN": self.tokens.get(who, ""),
        }
        secrets = {
            "SHOP_DB_PASSWORD": self.shop.broker_password,
            "ORDERS_DB_PASSWORD": self.orders.broker_password,
            "TICKETS_PROXY_KEY": self.tickets.proxy_key,
            "STOCK_API_KEY": self.stock.key,
            "DESK_TOKEN": self.desk.token,
            "PAGERDUTY_TOKEN": "none",
            "PAGERDUTY_WEBHOOK_SECRET": "none-of-theirs",
            **dict.fromkeys(
                (f"{name}_{of}" for name in ("GITHUB", "GITLAB") for of in ("READ_TOKEN", "WEBHOOK_SECRET")),
                "none-of-theirs",
            ),
        }
        of_the_server = {name: value for name, value in self.env.items() if not name.startswith("DJANGO_")}
        return {**of_the_server, **mine, **secrets} if who == "admin" else mine


@contextlib.contextmanager
def guide_site() -> Iterator[GuideSite]:
    """Start all of it, and clean everything up."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_state_dir("stint-guides-"))
        ports = Ports(*(free_port() for _ in range(5)))
        log = stack.enter_context((folder / "stint.log").open("wb"))
        env = stack.enter_context(run_stint(folder, ports, log))
        (folder / "host").mkdir()
        host = stack.enter_context(ssh_host(folder / "host"))
        shop = stack.enter_context(ShopDatabase(folder / "shop"))
        tickets = stack.enter_context(TicketsApi(folder / "nginx", ports.url))
        desk = stack.enter_context(Desk())
        stock = stack.enter_context(Prices())
        stock.prices["A-42"] = 40
        # Stint's own tickets get their numbers when they are opened.
        desk.tickets |= {f"TKT-{number}": "The printer is on fire" for number in range(2000)}
        (folder / "kubernetes").mkdir()
        kubernetes = stack.enter_context(ApiServer(folder / "kubernetes"))
        jobs = stack.enter_context(ci())
        (folder / "orders").mkdir()
        orders = stack.enter_context(MariaDBServer(folder / "orders").running())
        site = GuideSite(folder, ports, env, host, shop, tickets, desk, kubernetes, stock, jobs, orders)
        _fill_shop(site)
        _programs(site)
        _homes(site)
        _fill_kubernetes(site)
        yield site


def _fill_shop(site: GuideSite) -> None:
    from sessions_app.connectors.postgres.setup import target_setup

    site.shop.fill(target_setup(broker=BROKER))


def _fill_kubernetes(site: GuideSite) -> None:
    """Create a pod to inspect, a deployment, and the kubeconfig of the cluster's administrator."""
    cluster = in_process(site.kubernetes)
    for name in ("shop", "checkout"):
        assert cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    pod = {"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "web", "image": "shop"}]}}
    assert cluster.call("POST", "/api/v1/namespaces/shop/pods", pod)[0] == 201
    template = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "app", "image": "shop:v1.3"}]},
    }
    spec = {"selector": {"matchLabels": {"app": "shop"}}, "template": template}
    deployment = {"metadata": {"name": "shop"}, "spec": spec}
    assert cluster.call("POST", "/apis/apps/v1/namespaces/shop/deployments", deployment)[0] == 201
    config = token_kubeconfig(
        name="prod",
        server=f"https://{cluster.address}:{cluster.port}",
        ca=cluster.ca,
        namespace="",
        token=cluster.token,
    )
    (site.folder / "admin" / ".kube").mkdir()
    (site.folder / "admin" / ".kube" / "config").write_text(config, encoding="utf-8")


def _programs(site: GuideSite) -> None:
    """Write the programs on the PATH: of people who installed `stint` and activated `.venv`, and on the
    target.
    """
    mine = site.folder / "bin"
    _script(mine / "stint", f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m broker.cli "$@"')
    _script(mine / "python", f'exec "{sys.executable}" "$@"')
    _script(mine / "psql", f'exec "{site.shop.psql}" "$@"')
    for program in ("ssh", "scp", "sftp"):
        _script(mine / program, f'exec /usr/bin/{program} -F "$HOME/.ssh/config" "$@"')
    for name, text in PROGRAMS.items():
        site.host.add_program(name, text)


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o755)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def _homes(site: GuideSite) -> None:
    """Write the ssh configuration by which people reach here what the guides name."""
    for who in PEOPLE:
        ssh = site.folder / who / ".ssh"
        ssh.mkdir(parents=True, mode=0o700)
        (ssh / "config").write_text(
            f"Host stint.example.com\nHostName 127.0.0.1\nIdentityFile {ssh}/id_ed25519\nHost"
            f" web-1.example.com\nHostName 127.0.0.1\nPort {site.host.port}\nIdentityFile"
            f" {site.host.admin_key}\nHost *\nIdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\nLogLevel"
            f" ERROR\nStrictHostKeyChecking accept-new\nUserKnownHostsFile {ssh}/known_hosts\n",
            encoding="ascii",
        )


def as_yaml(document: dict[str, Any]) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
