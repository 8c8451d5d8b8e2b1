"""One real target for all of these tests, and the authority that it trusts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import asyncssh
import pytest

from broker.demo.sshd import SshTarget
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connector import SSHConnector
from sessions_app.policy.scope import TargetFacts


@pytest.fixture(scope="session")
def ca() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture(scope="session")
def public_ca(ca) -> str:
    return ca.export_public_key().decode().strip()


@pytest.fixture(scope="session")
def sshd(processes, public_ca) -> Iterator[SshTarget]:
    with SshTarget([public_ca], ["web"], options=["Subsystem sftp internal-sftp"]) as target:
        yield target


@pytest.fixture(scope="session")
def connector(ca) -> SSHConnector:
    return SSHConnector(Authority(ca.export_private_key()))


def facts_of(sshd: SshTarget, **changes) -> TargetFacts:
    """What the catalogue has of a target."""
    known = {"id": 1, "name": "web-1", "address": sshd.address, "port": sshd.port, "account": sshd.account,
             "host_key": sshd.host_key}  # fmt: skip
    return TargetFacts(**{**known, **changes})


@pytest.fixture
def target(sshd) -> TargetFacts:
    return facts_of(sshd)


@pytest.fixture
def account(request):
    """An account with a given login shell, for as long as the test runs."""
    # Of this run alone: another one, or the rest of one that was killed, may not get in its way.
    name = f"stint-test-{os.getpid()}"
    subprocess.run(
        ["useradd", "--no-create-home", "--password", "*", "--shell", request.param, name], check=True
    )
    try:
        yield name
    finally:
        subprocess.run(["userdel", "--force", name], check=True)
