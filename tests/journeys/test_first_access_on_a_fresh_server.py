"""From an empty `make up` to the first command on a stock server over SSH, by what the pages say."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from broker.demo.main import Ports, run_stint
from broker.demo.ports import free_port
from broker.embedded.state import temporary_state_dir
from tests.environment import ROOT
from tests.support.browser.screens import DESK
from tests.support.servers.guide_site import PROGRAMS
from tests.support.servers.ssh_host import SshHost, ssh_host

MINUTES = 5
PASSWORD = "an administrator's first words"


@dataclass
class Hand:
    """Use the pages of one person, and count what they do."""

    page: Page
    done: list[str] = field(default_factory=list)

    def press(self, name: str, *, role: str = "button", within: str = "body") -> None:
        self.done.append(f"press {name}")
        self.page.locator(within).get_by_role(role, name=name, exact=True).first.click()

    def follow(self, name: str) -> None:
        self.press(name, role="link")

    def type(self, label: str, text: str) -> None:
        self.done.append(f"fill {label}")
        self.page.get_by_label(label, exact=True).first.fill(text)

    def tick(self, group: str, name: str) -> None:
        self.done.append(f"choose {name}")
        self.page.get_by_role("group", name=group).get_by_label(name, exact=True).check()

    def sees(self, text: str, *, at: str = "main") -> Locator:
        found = self.page.locator(at)
        expect(found).to_contain_text(text)
        return found

    def sign_in(self, name: str, password: str) -> None:
        self.page.goto("/")
        self.type("Username", name)
        self.type("Password", password)
        self.press("Sign in")

    def sign_in_first(self, name: str, given: str) -> None:
        self.sign_in(name, given)
        self.sees("Choose your own password", at="h1")
        self.type("Current password", given)
        self.type("New password", f"{PASSWORD} to {name}")
        self.type("Confirm new password", f"{PASSWORD} to {name}")
        self.press("Change password")


@dataclass
class Fresh:
    """A Stint that has just started without any data, and a stock server."""

    ports: Ports
    host: SshHost
    env: dict[str, str]
    chromium: Browser

    def person(self) -> Hand:
        context = self.chromium.new_context(viewport=DESK, base_url=self.ports.url, reduced_motion="reduce")
        return Hand(context.new_page())


@pytest.fixture
def fresh(processes, chromium) -> Iterator[Fresh]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_state_dir("stint-fresh-"))
        ports = Ports(*(free_port() for _ in range(5)))
        (folder / "host").mkdir()
        host = stack.enter_context(ssh_host(folder / "host"))
        for name, text in PROGRAMS.items():
            host.add_program(name, text)
        log = stack.enter_context((folder / "stint.log").open("wb"))
        env = stack.enter_context(run_stint(folder, ports, log))
        yield Fresh(ports, host, env, chromium)


def ssh(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command that a page shows, as a first connection to a gateway that isn't known yet."""
    options = f"-i {home}/key -o IdentitiesOnly=yes -o IdentityAgent=none -o UserKnownHostsFile={home}/known"
    words = line.replace("ssh ", f"ssh -F none {options} -o StrictHostKeyChecking=accept-new ", 1)
    return subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False, timeout=120)


def add(root: Hand, name: str, group: str) -> str:
    for label, text in {
        "Name": name.title(),
        "Username": name,
        "Email": f"{name}@example.com",
        "Groups": group,
    }.items():
        root.type(label, text)
    root.press("Add person")
    return root.sees(f"sign in as {name}").locator(".secret").inner_text()


def set_up(root: Hand, host: SshHost) -> tuple[str, str]:
    """Follow Get started. Return the first passwords of the requester and the approver."""
    root.sees("Get started", at="h1")
    passwords = add(root, "alice", "operators"), add(root, "bob", "approvers")
    root.follow("Next: cluster")
    root.type("Name", "web")
    root.type("Target 1, name", "web-1")
    root.type("Target 1, address", "127.0.0.1")
    root.type("Target 1, port", str(host.port))
    root.type("Target 1, host key", host.host_key)
    root.press("Create cluster", within=".row")
    root.page.locator(".starters").get_by_role("link", name="Restart a service").click()
    root.done.append("press Restart a service")
    root.press("Publish command set")
    root.tick("Requesters", "operators")
    root.tick("Approvers", "approvers")
    root.press("Create policy")
    root.press("Check all")
    root.sees("step failed", at="#checks")
    run_setup(root, host)
    root.press("Check all")
    root.sees("Passed", at="#checks")
    root.follow("Finish")
    root.sees("Stint is set up", at="h1")
    return passwords


def run_setup(root: Hand, host: SshHost) -> None:
    root.done.append("press Copy")
    script = root.page.get_by_role("button", name="Copy", exact=True).first.get_attribute("data-copy")
    root.done.append("run the setup on the server")
    done = host.run(script)
    assert done.returncode == 0, done.stderr


def test_the_pages_lead_from_an_empty_stint_to_a_command_over_ssh_within_minutes(fresh, tmp_path):
    command = [sys.executable, "manage.py", "createsuperuser", "--no-input", "--username", "root"]
    env = {**fresh.env, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    subprocess.run([*command, "--email", "root@example.com"], cwd=ROOT, env=env, check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    began = time.monotonic()
    root = fresh.person()
    root.sign_in("root", PASSWORD)
    to_alice, to_bob = set_up(root, fresh.host)

    alice = fresh.person()
    alice.sign_in_first("alice", to_alice)
    alice.follow("Request access")
    alice.tick("unit", "nginx")
    alice.type("Reason", "Load the new certificate")
    alice.press("Submit to 1 approver", within="#outcome")
    alice.sees("You requested restart-service on web", at="h1")

    bob = fresh.person()
    bob.sign_in_first("bob", to_bob)
    bob.follow("Decide REQ-1001")
    bob.press("Approve")
    bob.sees("Approved")

    alice.follow("Use this access")
    alice.type("Your SSH public key", (tmp_path / "key.pub").read_text())
    alice.press("Add key")
    alice.sees("From your terminal")
    line = alice.page.locator("[aria-labelledby=h-cli] code").first.inner_text()
    ran = ssh(line, tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "restarted nginx\n"), ran.stderr
    seconds = time.monotonic() - began
    done = [*root.done, *alice.done, *bob.done]
    clicks = sum(not one.startswith("fill") for one in done)
    sys.stdout.write(f"first access: {seconds:.0f} s, {clicks} clicks, {len(done) - clicks} fields\n")
    assert (clicks <= 30, len(done) - clicks <= 32) == (True, True), done
    assert seconds < MINUTES * 60
    assert "Traceback" not in (Path(fresh.env["STINT_STATE_DIR"]) / "stint.log").read_text()
