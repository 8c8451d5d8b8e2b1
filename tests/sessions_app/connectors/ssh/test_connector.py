"""Sweeping a real target."""

import contextlib
import datetime as dt
import os
import secrets
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from broker.demo.ports import free_port
from broker.demo.sshd import SshTarget
from sessions_app.connectors.base import ConnectorError, LeaseSpec, TargetSpec
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connector import SSHConnector
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.scope import TargetFacts
from tests.sessions_app.connectors.conftest import facts_of
from tests.sessions_app.connectors.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.connectors.contract import Case
from tests.support.pace import allow
from tests.support.waits import PATIENCE, eventually

pytestmark = pytest.mark.timing


def at(target: TargetFacts) -> TargetSpec:
    return TargetSpec(cluster="web", target=target)


def left(target: TargetFacts) -> LeaseSpec:
    return LeaseSpec(grant_ref="GR-TEST", mark=secrets.token_hex(16), place=at(target))


@pytest.fixture
def case(connector, sshd, target):
    started: list[subprocess.Popen[bytes]] = []

    def leave(lease) -> None:
        # A sleep with the grant's mark, such as a command would leave.
        started.append(subprocess.Popen(["sleep", "600"], env={**os.environ, "STINT_GRANT": lease.mark}))
        eventually(lambda: b"sleep" in _words(started[-1].pid))

    def foreign():
        other = subprocess.Popen(["sleep", "600"], env={**os.environ, "STINT_GRANTED": "x"})
        started.append(other)
        return lambda: other.poll() is None

    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield Case(
            connector,
            at(target),
            at(facts_of(sshd, name="web-2", port=free_port())),
            at(facts_of(sshd, name="web-3", port=silent.getsockname()[1])),
            CompiledSet("ssh", "nothing", {}, ()),
            leave,
            foreign,
            makes=False,
        )
    for process in started:
        process.kill()
        process.wait()


def _words(pid: int) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


def test_the_evidence_says_when_it_was_asked_and_what_was_found(case):
    lease = case.lease()
    case.leave(lease)
    case.leave(lease)
    detail = case.connector.revoke(lease).detail
    assert (detail["processes_found"], detail["processes_left"]) == (2, 0)
    assert detail["rounds"] >= 2
    assert str(detail["asked_at"]) < str(detail["answered_at"])


def test_a_mark_that_only_begins_the_same_is_not_swept(case):
    lease = case.lease()
    longer = case.lease()
    object.__setattr__(longer, "mark", lease.mark + "0")
    case.leave(longer)
    assert case.connector.revoke(lease).detail["processes_found"] == 0
    assert not case.connector.verify(longer).gone
    case.connector.revoke(longer)


# A loop that starts a process with somebody else's mark again and again.
FORGER = 'while :; do STINT_GRANT="$1" sleep 0.3 & sleep 0.005; done'


def test_a_process_of_another_grant_that_carries_this_ones_mark_is_killed_and_the_grant_ends(case):
    mine, theirs = case.lease(), case.lease()
    case.leave(theirs)
    marked = {**os.environ, "STINT_GRANT": mine.mark, "STINT_RUN": f"{theirs.mark}-1"}
    with subprocess.Popen(["setsid", "sleep", "600"], env=marked) as foreign:
        eventually(lambda: b"sleep" in _words(foreign.pid))
        evidence = case.connector.revoke(mine)
        assert evidence.gone
        assert foreign.wait(allow(5)) == -9
    assert not case.connector.verify(theirs).gone
    assert case.connector.revoke(theirs).gone


def test_a_process_of_another_grant_that_goes_on_forging_this_ones_mark_keeps_it_from_no_end(case):
    mine, theirs = case.lease(), case.lease()
    marked = {**os.environ, "STINT_GRANT": theirs.mark, "STINT_RUN": f"{theirs.mark}-1"}
    with subprocess.Popen(["setsid", "sh", "-c", FORGER, "sh", mine.mark], env=marked) as forger:
        try:
            eventually(lambda: not case.connector.verify(mine).gone)

            def killed() -> int:
                # If the forger stands still on a busy machine, nothing is found, and it goes on afterwards.
                evidence = case.connector.revoke(mine)
                assert evidence.gone, evidence.detail
                return int(evidence.detail["processes_of_other_grants_killed"])

            eventually(lambda: killed() == 1, within=30)
            assert forger.wait(allow(5)) == -9
        finally:
            forger.kill()
    assert case.connector.revoke(theirs).gone


def test_a_process_with_many_marks_is_seen_by_its_first_and_fills_no_answer(case):
    marks = [secrets.token_hex(16) for _ in range(3)]
    # As execve takes them: a dictionary has each name once.
    environ = [f"STINT_GRANT={mark}".encode() for mark in marks]
    begin = (
        "import ctypes as c; l = c.CDLL(None); a = c.c_char_p; l.execve(a(b'/usr/bin/sleep'), (a *"
        f" 3)(b'sleep', b'600', None), (a * 4)(*{environ}, None))"
    )
    with subprocess.Popen([sys.executable, "-c", begin]) as process:
        eventually(lambda: _words(process.pid).startswith(b"sleep\0"))
        seen = {one.mark for one in case.connector.observe(case.place)}
        assert seen & set(marks) == {marks[0]}
        assert case.connector.sweep(case.place, marks[1:]).gone
        assert process.wait(allow(5)) == -9


def test_an_answer_without_end_is_not_read_to_its_end(connector, public_ca):
    with SshTarget([public_ca], ["web"], options=["ForceCommand yes"]) as sshd:
        with pytest.raises(ConnectorError, match="more than 200000 characters"):
            connector.revoke(left(facts_of(sshd)))


@pytest.mark.parametrize("account", ["/bin/sh"], indirect=True)
def test_of_an_account_that_is_not_root_only_what_a_command_left_is_in_question(
    connector, public_ca, account
):
    """Its other connections are sshd's, and each has processes without a mark."""
    with SshTarget([public_ca], ["web"], account=account.name) as sshd:
        where, began = facts_of(sshd), dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)
        # Eight at a time: some begin and end while others look.
        leases = [replace(left(where), since=began) for _ in range(32)]
        with ThreadPoolExecutor(8) as pool:
            unsure = [evidence.left for evidence in pool.map(connector.revoke, leases) if not evidence.gone]
        assert not unsure
        words = ["setpriv", f"--reuid={account.uid}", "--clear-groups", "setsid", "env", "-i", "sleep", "600"]
        with subprocess.Popen(words) as hidden:
            # It has been setpriv, setsid and env by then.
            eventually(lambda: _words(hidden.pid).startswith(b"sleep\0"))
            evidence = connector.revoke(leases[0])
            assert not evidence.gone
            assert f"may belong to it: {hidden.pid} sleep. Stop them" in evidence.left
            hidden.kill()
        assert connector.revoke(leases[0]).gone


def test_as_root_the_evidence_says_what_it_can_not_know(case):
    detail = case.connector.revoke(case.lease()).detail
    assert detail["processes_without_mark"] == (
        "as root, processes of the grant can't be distinguished from the system's own"
    )
    contained = replace(case.lease(), contained=True)
    assert "processes_without_mark" not in case.connector.revoke(contained).detail


def test_a_target_that_trusts_another_authority_is_an_error(target):
    import asyncssh

    stranger = SSHConnector(Authority(asyncssh.generate_private_key("ssh-ed25519").export_private_key()))
    with pytest.raises(ConnectorError) as caught:
        stranger.revoke(left(target))
    assert "did not accept Stint's certificate" in caught.value.message
    assert caught.value.permanent


def test_an_answer_that_proves_nothing_counts_as_no_answer(connector, public_ca):
    """A target whose own configuration overrules the certificate's command."""
    with SshTarget([public_ca], ["web"], options=["ForceCommand echo hello"]) as sshd:
        with pytest.raises(ConnectorError, match="gave no usable response"):
            connector.revoke(left(facts_of(sshd)))


def test_many_sweeps_at_once_all_come_through(connector, target):
    """More than sshd takes at a time before they are logged in."""
    gone: list[bool] = []
    threads = [
        threading.Thread(target=lambda: gone.append(connector.revoke(left(target)).gone)) for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert gone == [True] * 24


def test_the_private_key_is_in_no_text(ca):
    authority = Authority(ca.export_private_key())
    assert "PRIVATE" not in repr(authority)
    assert repr(authority) == "Authority()"
