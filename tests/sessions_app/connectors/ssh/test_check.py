"""The check of a target, on targets that are wrong in one way each."""

import os
import pwd
import subprocess
import time

import pytest

from broker.demo.sshd import SshTarget
from sessions_app.connectors.base import CheckStep, TargetSpec
from sessions_app.connectors.ssh.target import read_script
from tests.sessions_app.connectors.conftest import facts_of

pytestmark = pytest.mark.processes


def checked(connector, target, host_ca="") -> dict[str, CheckStep]:
    return {
        step.name: step for step in connector.check(TargetSpec(cluster="web", target=target, host_ca=host_ca))
    }


def test_a_good_target_has_everything(connector, target):
    steps = checked(connector, target)
    assert all(step.ok for step in steps.values())
    assert list(steps) == [
        "reachable",
        "host key matches",
        "certificate accepted",
        "forced command",
        "account",
        "principals",
        "login shell",
        "setpriv",
        "timeout",
        "grep",
        "unshare",
        "death signal",
        "PID namespaces",
        "clock",
        "penalties",
    ]
    assert "util-linux" in steps["setpriv"].detail


def test_every_sh_prints_the_same_facts(sh, tmp_path):
    me = pwd.getpwuid(os.getuid())
    (tmp_path / me.pw_name).write_text("# comment\nstint:web\nstint:db\n")
    argv = [sh, "-c", read_script("probe.sh"), "stint", "a nonce", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, check=True, text=True)
    facts = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert abs(float(facts.pop("clock")) - time.time()) < 5
    assert all(facts.pop(tool) for tool in ("setpriv", "timeout", "grep", "unshare"))
    del facts["exempt"]
    assert facts == {
        "nonce": "a nonce",
        "account": me.pw_name,
        "shell": me.pw_shell,
        "pdeathsig": "yes",
        "pidns": "yes",
        "principals": "stint:web stint:db ",
    }
    assert done.stderr == ""


def test_another_host_key_is_shown(connector, sshd, public_ca):
    steps = checked(connector, facts_of(sshd, host_key=public_ca))
    assert not steps["host key matches"].ok
    assert sshd.host_key.split()[1] in steps["host key matches"].fix


def test_a_missing_host_key_is_offered(connector, sshd):
    steps = checked(connector, facts_of(sshd, host_key=""))
    assert sshd.host_key.split()[1] in steps["host key matches"].fix


def test_a_target_that_does_not_know_the_authority_is_sent_to_the_setup(connector):
    with SshTarget([]) as sshd:
        steps = checked(connector, facts_of(sshd))
    assert not steps["certificate accepted"].ok
    assert "ssh_target_setup" in steps["certificate accepted"].fix
    assert steps["host key matches"].ok


def test_a_command_of_the_targets_own_is_noticed(connector, public_ca):
    with SshTarget([public_ca], ["web"], options=["ForceCommand echo hello"]) as sshd:
        steps = checked(connector, facts_of(sshd))
    assert not steps["forced command"].ok
    assert "ForceCommand" in steps["forced command"].fix


@pytest.mark.parametrize("account", ["/bin/sh"], indirect=True)
def test_an_account_that_is_not_root_is_checked_as_itself(connector, public_ca, account):
    with SshTarget([public_ca], ["web"], account=account.name) as sshd:
        steps = checked(connector, facts_of(sshd))
    assert steps["account"].detail.endswith(account.name)
    assert steps["login shell"].ok
    assert steps["death signal"].ok


@pytest.mark.parametrize("account", ["/bin/sh"], indirect=True)
def test_an_account_of_these_tests_is_none_of_this_machine(account):
    with pytest.raises(KeyError):
        pwd.getpwnam(account.name)


@pytest.mark.parametrize("account", ["/usr/bin/env"], indirect=True)
def test_a_login_shell_that_is_none_lets_nothing_run(connector, public_ca, account):
    with SshTarget([public_ca], ["web"], account=account.name) as sshd:
        steps = checked(connector, facts_of(sshd))
    assert not all(step.ok for step in steps.values())


@pytest.mark.parametrize(
    ("path", "ok"),
    [
        ("/bin/sh", True),
        ("/usr/bin/zsh", True),
        ("/usr/bin/fish", True),
        ("/bin/csh", False),
        ("/bin/tcsh", False),
        ("/opt/odd", False),
        ("", False),
    ],
)
def test_only_shells_that_keep_quoted_words_are_safe(path, ok):
    from sessions_app.connectors.ssh.check import _shell

    assert _shell(path).ok is ok


@pytest.mark.parametrize(("skew", "ok"), [(0, True), (14, True), (-14, True), (16, False), (-3600, False)])
def test_a_clock_that_is_off_is_noticed(skew, ok):
    from sessions_app.connectors.ssh.check import _clock

    assert _clock(f"{1000 + skew}.5", 1000.5).ok is ok


@pytest.mark.parametrize(
    ("version", "line", "said"),
    [
        ("SSH-2.0-OpenSSH_9.7p1", "", "has no penalties"),
        ("SSH-2.0-OpenSSH_10.0p2", "", "was not found"),
        ("SSH-2.0-OpenSSH_9.8p1", "PerSourcePenaltyExemptList 10.0.0.5", "10.0.0.5"),
        ("SSH-2.0-dropbear", "", "has no penalties"),
    ],
)
def test_penalties_are_pointed_out_where_there_are_any(version, line, said):
    from sessions_app.connectors.ssh.check import _penalties

    assert said in _penalties(version, line).detail
