"""From an empty machine to the first command over SSH, an upgrade and a restore, by what the guides say and
nothing else.
"""

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.environment import ROOT
from tests.support.servers.guide_site import PROGRAMS
from tests.support.servers.machine import Machine, machine
from tests.support.servers.ssh_host import SshHost, ssh_host
from tests.support.world.acts import Started
from tests.support.world.guide_reader import Reader
from tests.support.world.guides import Fence, fences

pytestmark = pytest.mark.guides


@dataclass
class Installed:
    """The machine, the server behind it, and who types: an administrator as root, and two people with a token
    each.
    """

    machine: Machine
    host: SshHost
    names: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def superuser(self, database: str) -> str:
        raise NotImplementedError(database)

    def here(self, document: dict[str, Any]) -> dict[str, Any]:
        for target in document.get("targets", []):
            target |= {"port": self.host.port, "host_key": self.host.host_key}
        return document

    def run(self, command: str, who: str, work: Path) -> subprocess.CompletedProcess[str]:
        env = {
            "STINT_URL": "https://stint.example.com",
            "STINT_TOKEN": self.tokens.get(who, ""),
            "HOME": str(work / "home" / who),
        }
        installs = command.startswith("make install")
        done = self.machine.run(command if installs else f"cd {work} && {command}", online=installs, **env)
        if command.startswith("stint-manage person"):
            self.tokens[shlex.split(command)[2]] = done.stdout.splitlines()[-1]
        return done

    def run_job(self, provider: str, text: str, work: Path) -> None:
        raise NotImplementedError(provider)


@pytest.fixture
def installed(tmp_path) -> Iterator[Installed]:
    with machine() as made:
        (made.folder / "host").mkdir()
        with ssh_host(made.folder / "host", network=made.space) as host:
            yield Installed(made, host)


def furnish(site: Installed, work: Path) -> None:
    """What an administrator and an operator bring: a password, a key, the command line, groups of people."""
    (work / "catalog/groups").mkdir(parents=True)
    (work / "password").write_text("an administrator's first words\n")
    for who in ("admin", "priya", "jonas"):
        ssh = work / "home" / who / ".ssh"
        ssh.mkdir(parents=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ssh / "id_ed25519")], check=True
        )
        key = site.host.admin_key if who == "admin" else ssh / "id_ed25519"
        port = f"Host web-1.example.com\nPort {site.host.port}\n" if who == "admin" else ""
        (ssh / "config").write_text(
            f"{port}Host *\nIdentityFile {key}\nIdentitiesOnly yes\nBatchMode yes\nLogLevel ERROR\n"
            f"StrictHostKeyChecking accept-new\nUserKnownHostsFile {ssh}/known_hosts\n"
        )
    shutil.copy(work / "home/priya/.ssh/id_ed25519.pub", work / "priya.pub")
    programs = {
        "stint": f'PYTHONPATH={ROOT} exec {ROOT}/.venv/bin/python -m broker.cli "$@"',
        "ssh": 'exec /usr/bin/ssh -F "$HOME/.ssh/config" "$@"',
    }
    for name, text in programs.items():
        (site.machine.folder / "usr" / name).write_text(f"#!/bin/sh\n{text}\n")
        (site.machine.folder / "usr" / name).chmod(0o755)
    for name, text in PROGRAMS.items():
        site.host.add_program(name, text)


ASKS = """
import http.client, pathlib, sys, time
failed, asked = [], 0
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {sys.argv[1]}"}
kinds = [("GET", "/sign-in/", None, 200), ("POST", "/api/v1/requests", "{}", 400)]
while not pathlib.Path("enough").exists():
    method, path, body, wanted = kinds[asked % 2]
    try:
        site = http.client.HTTPSConnection("stint.example.com", timeout=60)
        site.request(method, path, body, headers if body else {})
        answer = site.getresponse()
        failed += [] if answer.status == wanted else [(asked, answer.status, answer.read(300))]
        site.close()
    except (OSError, http.client.HTTPException) as error:
        failed.append((asked, repr(error)))
    asked += 1
    time.sleep(0.1)
print(asked > 20, failed)
"""


@contextlib.contextmanager
def asking(site: Installed, work: Path) -> Iterator[None]:
    """Ask for a page and by the API all the while: each request is answered as always."""
    (work / "asks.py").write_text(ASKS)
    asks = Started(lambda: site.machine.do(f"cd {work} && python3 asks.py {site.tokens['priya']}"))
    try:
        yield
    finally:
        (work / "enough").touch()
    assert asks.result() == "True []\n"


def test_an_empty_machine_becomes_one_that_brokers_ssh_and_survives_the_loss_of_its_database(installed):
    work = installed.machine.folder / "work"
    work.mkdir()
    furnish(installed, work)
    reader = Reader(installed, work)
    for fence in on_machine("installation", "high-availability", "upgrading"):
        with asking(installed, work) if "restart stint-web" in fence.text else contextlib.nullcontext():
            reader.follow(fence)
    examined = installed.machine.run(
        "stint-manage doctor --json folders database queue pages processes targets"
    )
    assert examined.returncode == 0, examined.stdout
    assert '"level": "wrong"' not in examined.stdout
    installed.names["python manage.py"] = "stint-manage"
    for fence in fences("first-ssh-target"):
        # Stint is there already, with its people.
        if "start" not in fence.options:
            reader.follow(fence)

    for fence in on_machine("backup"):
        if "stop stint.target" in fence.text:
            use_once_more(reader)
            installed.machine.do("stint-manage audit_checkpoint")
        if "stint-manage restored" in fence.text:
            with pytest.raises(AssertionError, match="the record does not match its signed checkpoints"):
                use_once_more(reader)
        reader.follow(fence)
    use_once_more(reader)


def on_machine(*guides: str) -> Iterator[Fence]:
    """The blocks of these guides that are followed on the machine."""
    return (fence for guide in guides for fence in fences(guide) if "on" in fence.options)


def use_once_more(reader: Reader) -> None:
    """Request, approve, use and end, as the first guide says."""
    reader.refs.clear()
    for fence in fences("first-ssh-target"):
        if fence.text.startswith(("$ stint ", "$ ssh -p")):
            reader.follow(fence)
