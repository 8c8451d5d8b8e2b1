"""Connecting to targets."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from broker.demo.ports import free_port
from broker.demo.sshd import SshTarget
from sessions_app.connectors.base import ConnectorError, TargetSpec
from sessions_app.connectors.ssh.connection import Dialer, Errand, cut, known_hosts, read_public_keys
from sessions_app.connectors.ssh.options import CIPHERS, KEY_EXCHANGES, MACS
from tests.sessions_app.connectors.conftest import facts_of
from tests.support.waits import eventually


def dial(ca, target, *, host_ca="", command="echo hello", dialer=None):
    """Connect, run, and return what was printed."""

    async def run() -> str:
        async def errand() -> Errand:
            return Errand(serial=1, key_id="test", command=command)

        connection = await (dialer or Dialer(lambda: ca)).dial(
            TargetSpec(cluster="web", target=target, host_ca=host_ca), errand
        )
        try:
            return str((await connection.run("x")).stdout)
        finally:
            connection.abort()

    return asyncio.run(run())


def test_a_pinned_key_proves_the_host(ca, target):
    assert dial(ca, target) == "hello\n"


def test_another_key_is_refused_for_good(ca, target, public_ca, sshd):
    with pytest.raises(ConnectorError, match="does not present the host key") as caught:
        dial(ca, facts_of(sshd, host_key=public_ca))
    assert caught.value.permanent


def test_without_any_key_nothing_is_talked_to(ca, sshd):
    with pytest.raises(ConnectorError, match="no host key"):
        dial(ca, facts_of(sshd, host_key=""))


@pytest.mark.processes
def test_a_host_authority_proves_the_host(ca, public_ca, tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "host_ca")], check=True
    )
    host_ca = (tmp_path / "host_ca.pub").read_text()
    with SshTarget([public_ca], ["web"], host_ca=tmp_path / "host_ca") as sshd:
        assert dial(ca, facts_of(sshd, host_key=""), host_ca=host_ca) == "hello\n"
        with pytest.raises(ConnectorError, match="does not present the host key"):
            dial(ca, facts_of(sshd, host_key=""), host_ca=public_ca)


def test_a_host_that_only_shows_a_bare_key_is_not_proven_by_an_authority(ca, sshd, public_ca):
    with pytest.raises(ConnectorError, match="does not present the host key"):
        dial(ca, facts_of(sshd, host_key=""), host_ca=public_ca)


def test_an_error_of_the_errand_reaches_the_caller_and_opens_nothing(ca, target, sshd):
    before = sshd.log.count("Starting session")

    async def run() -> None:
        async def errand() -> Errand:
            raise ConnectorError("it was not allowed")

        await Dialer(lambda: ca).dial(TargetSpec(cluster="web", target=target), errand)

    with pytest.raises(ConnectorError, match="not allowed"):
        asyncio.run(run())
    assert sshd.log.count("Starting session") == before


def test_connections_lost_before_the_login_are_tried_again(ca, sshd):
    """A listener that drops the first ones, as sshd does when too many come at once."""
    dropped = []
    front = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while len(dropped) < 3:
            client, _ = front.accept()
            dropped.append(client)
            client.close()
        client, _ = front.accept()
        behind = socket.create_connection((sshd.address, sshd.port))
        threading.Thread(target=_pump, args=(client, behind), daemon=True).start()
        _pump(behind, client)

    threading.Thread(target=serve, daemon=True).start()
    with front:
        assert dial(ca, facts_of(sshd, port=front.getsockname()[1])) == "hello\n"
    assert len(dropped) == 3


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        sink.close()


def test_two_hundred_at_once_all_come_through_a_server_with_its_usual_limits(ca, sshd, target):
    async def run() -> list[str]:
        dialer = Dialer(lambda: ca)

        async def errand() -> Errand:
            return Errand(serial=1, key_id="test", command="echo hello")

        async def one() -> str:
            connection = await dialer.dial(TargetSpec(cluster="web", target=target), errand)
            try:
                return str((await connection.run("x")).stdout)
            finally:
                connection.abort()

        return await asyncio.gather(*(one() for _ in range(60)))

    assert asyncio.run(run()) == ["hello\n"] * 60


@pytest.mark.processes
def test_a_refused_certificate_is_not_offered_twice(ca, public_ca):
    """Each refusal earns the gateway's address a penalty."""
    import asyncssh

    with SshTarget([public_ca], ["web"]) as sshd:
        stranger = asyncssh.generate_private_key("ssh-ed25519")
        with pytest.raises(ConnectorError, match="did not accept"):
            dial(stranger, facts_of(sshd))
        # The process that writes the log is not the one that refuses.
        eventually(lambda: "Failed publickey" in sshd.log)
        assert sshd.log.count("Failed publickey") == 1


def test_packets_are_not_accompanied_by_empty_messages(ca, target):
    """The library adds one to each, against attacks on ciphers that are not used."""

    async def run() -> int:
        async def errand() -> Errand:
            return Errand(serial=1, key_id="test", command="cat >/dev/null")

        connection = await Dialer(lambda: ca).dial(TargetSpec(cluster="web", target=target), errand)
        process = await connection.create_process("x")
        before = connection._send_seq
        for _ in range(10):
            process.stdin.write("x")
        try:
            return connection._send_seq - before
        finally:
            connection.abort()

    assert asyncio.run(run()) == 10


def test_a_connection_that_is_gone_can_be_cut_again(ca, target):
    async def run() -> None:
        async def errand() -> Errand:
            return Errand(serial=1, key_id="test", command="sleep 60")

        connection = await Dialer(lambda: ca).dial(TargetSpec(cluster="web", target=target), errand)
        process = await connection.create_process("x")
        for _ in range(2):
            cut(connection)
        await process.wait_closed()
        await connection.wait_closed()
        cut(connection)

    asyncio.run(run())


def test_nothing_of_this_accounts_configuration_or_agent_is_used(ca, target, tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  ProxyCommand touch " + str(tmp_path / "used") + "\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    assert dial(ca, target) == "hello\n"
    assert not (tmp_path / "used").exists()


@pytest.mark.parametrize("before", ["", "web-1 ", "@cert-authority * "])
def test_keys_are_read_with_or_without_names_before_them(public_ca, before):
    (key,) = read_public_keys([before + public_ca, "# a comment", "", "nonsense here too"])
    assert key.export_public_key().decode().split()[:2] == public_ca.split()[:2]


def test_what_targets_are_offered_has_no_failure_by_ssh_audit(ca, sshd):
    """It listens, and looks at what comes."""
    port = free_port()
    audit = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ssh_audit.ssh_audit",
            "--client-audit",
            "--json",
            f"--port={port}",
            "--timeout=60",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        # It hangs up and ends when it has seen what is offered; before it listens, nobody answers.
        while audit.poll() is None:
            with contextlib.suppress(ConnectorError):
                dial(ca, facts_of(sshd, port=port))
        found = json.loads(audit.communicate(timeout=60)[0])
    finally:
        audit.kill()
        audit.wait()
    notes = {
        (what, one["algorithm"]): one["notes"] for what in ("kex", "key", "enc", "mac") for one in found[what]
    }
    assert {which: note["fail"] for which, note in notes.items() if note.get("fail")} == {}
    assert {name for what, name in notes if what == "enc"} == set(CIPHERS)
    assert {name for what, name in notes if what == "mac"} == set(MACS)
    assert {name for what, name in notes if what == "kex"} >= set(KEY_EXCHANGES)
    assert {name for what, name in notes if what == "key"} == {"ssh-ed25519"}


@pytest.mark.parametrize(
    ("kind", "bits", "algorithm"), [("rsa", "3072", "rsa-sha2-512"), ("ecdsa", "256", "ecdsa-sha2-nistp256")]
)
@pytest.mark.processes
def test_a_host_with_a_key_of_another_kind_is_known_by_it_and_without_sha1(
    ca, public_ca, tmp_path, kind, bits, algorithm
):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", str(tmp_path / "other")], check=True
    )
    pinned = (tmp_path / "other.pub").read_text()
    options = [f"HostKey {tmp_path}/other", "LogLevel DEBUG2"]
    with SshTarget([public_ca], ["web"], options=options) as sshd:
        assert dial(ca, facts_of(sshd, host_key=pinned)) == "hello\n"
        assert f"kex: host key algorithm: {algorithm}" in sshd.log


def test_a_pinned_key_that_can_not_be_read_is_not_replaced_by_the_authority(target, public_ca):
    odd = replace(target, host_key="ssh-ed25519 AAAAnonsense")
    with pytest.raises(ConnectorError, match="can't be read") as refusal:
        known_hosts(odd, public_ca)
    assert refusal.value.permanent


@pytest.mark.parametrize("address", ["web..example.com", "x" * 64, "."])
def test_a_name_that_can_not_be_looked_up_is_an_error_like_any_other(ca, target, address):
    with pytest.raises(ConnectorError, match="can't be reached"):
        dial(ca, replace(target, address=address))


def test_a_pinned_key_counts_alone_when_there_is_one(target, public_ca):
    pinned, authorities, revoked = known_hosts(target, public_ca)
    assert (len(pinned), authorities, revoked) == (1, [], [])
