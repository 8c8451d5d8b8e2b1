"""What a minted certificate lets through, asked of a real sshd with a real client."""

import subprocess
import time

import pytest

from sessions_app.connectors.ssh.certificates import Credential, ForceCommandMissing, mint
from tests.support.pace import allow


def minted(ca, *, later: float = 0, **changes) -> Credential:
    """A certificate of this moment, or of one so many seconds later."""
    facts = {
        "principal": "stint:web",
        "serial": 7,
        "key_id": "GR-1/7 alice",
        "force_command": "echo forced",
        "source_addresses": ["127.0.0.1"],
        "now": time.time() + later,
    }
    return mint(ca, **{**facts, **changes})


@pytest.fixture
def login(ca, sshd, tmp_path):
    """Log in with a certificate and ask for something; gives what the client says."""

    def ask(
        *words: str, made: Credential | None = None, options=(), **changes
    ) -> subprocess.CompletedProcess[bytes]:
        made = made or minted(ca, **changes)
        key = tmp_path / "key"
        key.unlink(missing_ok=True)
        made.key.write_private_key(str(key))
        key.chmod(0o600)
        made.certificate.write_certificate(str(tmp_path / "key-cert.pub"))
        return subprocess.run(
            [
                "ssh",
                "-F",
                "none",
                "-i",
                str(key),
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                f"UserKnownHostsFile={tmp_path}/known",
                "-o",
                "LogLevel=ERROR",
                "-p",
                str(sshd.port),
                *options,
                "root@127.0.0.1",
                *words,
            ],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=allow(30),
            check=False,
        )

    return ask


@pytest.mark.parametrize("words", [(), ("id",), ("-s", "sftp")])
def test_only_the_forced_command_runs_whatever_is_asked(login, words):
    options, rest = (words[:1], words[1:]) if words[:1] == ("-s",) else ((), words)
    assert login(*rest, options=options).stdout == b"forced\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"principal": "root"},
        {"principal": "stint:shop"},
        {"source_addresses": ["192.0.2.7"]},
        {"later": -300},
        {"later": 300},
    ],
    ids=["account", "other-cluster", "address", "over", "early"],
)
def test_a_certificate_for_something_else_lets_nobody_in(login, changes):
    assert b"Permission denied" in login("id", **changes).stderr


def test_a_certificate_of_another_authority_lets_nobody_in(login):
    import asyncssh

    assert (
        b"Permission denied" in login("id", made=minted(asyncssh.generate_private_key("ssh-ed25519"))).stderr
    )


def test_one_on_the_list_of_revoked_ones_lets_nobody_in(login, sshd, public_ca):
    sshd.revoke_serial(public_ca, 4711)
    assert b"Permission denied" in login("id", serial=4711).stderr
    assert login("id", serial=4712).stdout == b"forced\n"


def test_it_permits_nothing_beside_the_command(login):
    assert b"PTY allocation request failed" in login("id", options=("-tt",)).stderr
    assert login("id", options=("-tt",), pty=True).stdout == b"forced\r\n"
    assert b"SSH-" not in login(options=("-W", "127.0.0.1:22")).stdout
    refused = login("id", options=("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22"))
    assert refused.returncode != 0


def test_the_serial_and_the_key_id_are_in_the_targets_log(login, sshd):
    login("id", serial=987654321, key_id="GR-9/1 alice")
    assert 'ID "GR-9/1 alice" (serial 987654321)' in sshd.log


@pytest.mark.parametrize("command", ["", "  "])
def test_without_a_command_none_is_made(ca, command):
    with pytest.raises(ForceCommandMissing):
        minted(ca, force_command=command)


@pytest.mark.parametrize("changes", [{"principal": ""}, {"source_addresses": []}])
def test_without_a_principal_or_an_address_none_is_made(ca, changes):
    with pytest.raises(ValueError, match="requires one principal"):
        minted(ca, **changes)


def test_a_credential_shows_no_key(ca):
    assert repr(minted(ca)) == "Credential()"
