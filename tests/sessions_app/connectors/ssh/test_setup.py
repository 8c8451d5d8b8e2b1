"""What a target's administrator runs, run here into a folder, and then tried with a real sshd."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from broker.demo.sshd import SshTarget
from sessions_app.connectors.base import Place
from sessions_app.connectors.ssh.krl import empty_krl, empty_krl_base64
from sessions_app.connectors.ssh.setup import target_setup
from tests.sessions_app.connectors.conftest import facts_of


def install(text: str, folder: Path) -> Path:
    """Do what the text says, below a folder instead of /etc/ssh, and without reloading anything."""
    (folder / "sshd_config.d").mkdir(parents=True, exist_ok=True)
    script = text.replace("/etc/ssh", str(folder))
    script = "\n".join(line for line in script.splitlines() if not line.startswith("sshd -t &&"))
    subprocess.run(["sh", "-c", script], check=True, capture_output=True)
    return folder / "sshd_config.d" / "10-stint.conf"


def text(public_ca: str, **changes) -> str:
    return target_setup(
        **{"accounts": ["root"], "ca_keys": [public_ca], "gateways": ["127.0.0.1"], **changes}
    )


def test_a_target_that_was_set_up_like_this_passes_the_check(connector, public_ca, tmp_path):
    config = install(text(public_ca), tmp_path)
    # The target itself trusts nobody; all trust comes from the installed file.
    with SshTarget([], options=[f"Include {config}"], exempt_from_penalties=False) as sshd:
        assert all(step.ok for step in connector.check(Place(cluster="web", target=facts_of(sshd))))


def test_it_applies_to_the_gateways_address_alone(connector, public_ca, tmp_path):
    config = install(text(public_ca, gateways=["192.0.2.9"]), tmp_path)
    with SshTarget([], options=[f"Include {config}"]) as sshd:
        assert not all(step.ok for step in connector.check(Place(cluster="web", target=facts_of(sshd))))


def test_running_it_again_changes_nothing_and_keeps_what_was_revoked(public_ca, tmp_path):
    install(text(public_ca), tmp_path)
    (tmp_path / "stint_krl").write_bytes(b"what the administrator revoked")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    install(text(public_ca), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_all_authorities_are_installed(public_ca, tmp_path):
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8gQ0Xl0m0Zr3w7d6cJ3z1v9y0u8i5Z6fQkq3yXo9pB next"
    install(text(public_ca, ca_keys=[public_ca, other]), tmp_path)
    assert (tmp_path / "stint_ca.pub").read_text().splitlines() == [public_ca, other]


def test_without_an_authority_there_is_nothing_to_install():
    with pytest.raises(ValueError, match="no certificate authority"):
        target_setup(accounts=["root"], ca_keys=[], gateways=[])


def test_root_is_bound_to_forced_commands_and_others_are_not_touched(public_ca):
    assert "PermitRootLogin forced-commands-only" in text(public_ca)
    assert "PermitRootLogin" not in text(public_ca, accounts=["deploy"])
    assert "Match User deploy,root Address 10.0.0.1,10.0.0.2" in text(
        public_ca, accounts=["root", "deploy"], gateways=["10.0.0.1", "10.0.0.2"]
    )


def test_the_empty_list_is_one_that_openssh_reads(tmp_path, public_ca):
    krl, key = tmp_path / "krl", tmp_path / "key.pub"
    krl.write_bytes(empty_krl())
    key.write_text(public_ca + "\n")
    done = subprocess.run(["ssh-keygen", "-Q", "-f", str(krl), str(key)], capture_output=True, check=False)
    assert (done.returncode, b"ok" in done.stdout) == (0, True)
    assert base64.b64decode(empty_krl_base64()) == empty_krl()
