"""One real target for all of these tests, and the authority that it trusts."""

import os
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from broker.demo.sshd import SshTarget, usable_sshd
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connector import SSHConnector
from sessions_app.policy.scope import TargetFacts
from tests.support.leftovers import mark


@pytest.fixture(scope="session")
def ca():
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture(scope="session")
def public_ca(ca):
    return ca.export_public_key().decode().strip()


@pytest.fixture(scope="session")
def sshd(processes, public_ca):
    options = ["Subsystem sftp internal-sftp"]
    with SshTarget([public_ca], ["web"], options=options, environment=mark()) as target:
        yield target


@pytest.fixture(scope="session")
def connector(ca):
    return SSHConnector(Authority(ca.export_private_key()))


def facts_of(sshd: SshTarget, **changes) -> TargetFacts:
    """What the catalog has of a target."""
    known = {
        "id": 1,
        "name": "web-1",
        "address": sshd.address,
        "port": sshd.port,
        "account": sshd.account,
        "host_key": sshd.host_key,
    }
    return TargetFacts(**{**known, **changes})


@pytest.fixture
def target(sshd):
    return facts_of(sshd)


@dataclass(frozen=True)
class Account:
    """An account of a target: its name, and its number, which no other process of this machine has."""

    name: str
    uid: int


@pytest.fixture
def account(request, tmp_path, monkeypatch):
    """An account with a given login shell, which only those SSH servers know that the test starts."""
    # Another run's account has another number: what belongs to it is looked for on the whole machine.
    made = Account("stint-test", 10_000 + os.getpid() % 50_000)
    accounts, program = tmp_path / "passwd", tmp_path / "sshd"
    line = f"{made.name}:*:{made.uid}:{made.uid}::/:{request.param}\n"
    accounts.write_text(Path("/etc/passwd").read_text(encoding="utf-8") + line, encoding="utf-8")
    inside = f'mount --bind {accounts} /etc/passwd && exec {usable_sshd()} "$@"'
    program.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{inside}' sshd \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return made
