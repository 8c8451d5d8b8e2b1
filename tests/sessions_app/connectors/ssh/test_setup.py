"""What a target's administrator runs, run as it stands on a host of its own with a real sshd."""

import base64
import subprocess
from dataclasses import replace

import pytest

from sessions_app.connectors.base import CheckStep, TargetSpec
from sessions_app.connectors.ssh.krl import empty_krl, empty_krl_base64
from sessions_app.connectors.ssh.setup import NoSetup, Setup
from sessions_app.policy.scope import TargetFacts
from tests.support.servers.ssh_host import SshHost, ssh_host
from tests.support.waits import eventually

# Where the connector's connections come from on this machine, and where an administrator's do here.
GATEWAY, DESK = "127.0.0.1", "127.0.0.9"


@pytest.fixture
def host(processes, tmp_path):
    with ssh_host(tmp_path) as one:
        yield one


def setup(public_ca: str, **changes) -> Setup:
    return replace(
        Setup(cluster="web", accounts=["root"], ca_keys=[public_ca], gateways=[GATEWAY]), **changes
    )


def run(host: SshHost, lines: Setup) -> None:
    begun = host.starts
    done = host.run(lines.script)
    assert done.returncode == 0, done.stderr
    # It reads its configuration anew by beginning anew.
    eventually(lambda: host.starts > begun)


def checked(connector, host: SshHost, account: str, cluster: str = "web") -> dict[str, CheckStep]:
    target = TargetFacts(
        id=1, name="web-1", address="127.0.0.1", port=host.port, account=account, host_key=host.host_key
    )
    return {step.name: step for step in connector.check(TargetSpec(cluster=cluster, target=target))}


def passes(connector, host: SshHost, account: str, cluster: str = "web") -> bool:
    return all(step.ok for step in checked(connector, host, account, cluster).values())


def files_of(host: SshHost) -> str:
    return host.run("cd /etc/ssh && find . -type f | sort | xargs sha256sum").stdout


@pytest.mark.parametrize("account", ["root", "stint"])
def test_after_the_script_the_administrator_still_logs_in_as_root_and_stint_is_let_in(
    connector, public_ca, host, account
):
    before = host.login("root", come_from=DESK)
    assert (before.stdout, before.returncode) == ("root\n", 0)
    assert not passes(connector, host, account)
    run(host, setup(public_ca, accounts=[account]))
    after = host.login("root", come_from=DESK)
    assert (after.stdout, after.returncode) == ("root\n", 0), host.log
    assert passes(connector, host, account), host.log


def test_with_an_account_of_its_own_nobody_else_is_touched_even_without_an_address(
    connector, public_ca, host
):
    run(host, setup(public_ca, accounts=["stint"], gateways=[]))
    for address in (DESK, GATEWAY):
        assert host.login("root", come_from=address).stdout == "root\n"
    assert passes(connector, host, "stint")
    assert host.login("stint", come_from=DESK).returncode == 255
    assert host.run("id -un stint; getent passwd stint").stdout.split(":")[-2:] == ["/", "/bin/sh\n"]


def test_the_sentences_about_root_are_true(connector, public_ca, host):
    """Its own key opens nothing from the gateway's address, and everything from elsewhere."""
    lines = setup(public_ca)
    assert any(
        f"As root, from {GATEWAY}, passwords and your own keys no longer work" in one for one in lines.changes
    )
    assert (
        f"Logins as root from {GATEWAY} change; from all other addresses they stay unchanged."
        in lines.changes
    )
    assert host.login("root", come_from=GATEWAY).returncode == 0
    run(host, lines)
    assert host.login("root", come_from=GATEWAY).returncode == 255
    assert host.login("root", come_from=DESK).returncode == 0


def test_the_lines_hold_for_the_gateways_address_alone(connector, public_ca, host):
    run(host, setup(public_ca, gateways=["192.0.2.9"]))
    assert not passes(connector, host, "root")
    assert host.login("root", come_from=GATEWAY).stdout == "root\n"


def test_there_are_no_lines_for_root_without_a_source_address(public_ca):
    with pytest.raises(NoSetup, match="lock themselves out"):
        setup(public_ca, gateways=[])
    with pytest.raises(NoSetup, match="lock themselves out"):
        setup(public_ca, accounts=["deploy", "root"], gateways=[])
    with pytest.raises(NoSetup, match="lock themselves out"):
        setup(public_ca, gateways=["192.0.2.1", "0.0.0.0/0"])


def test_a_target_lets_in_the_certificates_of_its_own_cluster_alone(connector, public_ca, host):
    """One authority signs for all clusters; who points another cluster at this host gets nothing there."""
    run(host, setup(public_ca, cluster="prod"))
    assert passes(connector, host, "root", "prod")
    refused = checked(connector, host, "root", "web")["certificate accepted"]
    assert not refused.ok
    assert "stint:web" in refused.detail
    assert "the line `stint:web`" in refused.fix
    assert "/etc/ssh/stint_principals/root" in refused.fix
    assert "ssh_target_setup web" in refused.fix


def test_a_host_of_two_clusters_lets_in_both_and_the_check_says_so(connector, public_ca, host):
    run(host, setup(public_ca, cluster="web"))
    run(host, setup(public_ca, cluster="shop"))
    assert passes(connector, host, "root", "web")
    steps = checked(connector, host, "root", "shop")
    assert all(step.ok for step in steps.values())
    assert steps["principals"].detail == "root accepts certificates for stint:shop, and for stint:web"


def test_running_it_again_changes_nothing_and_keeps_what_was_revoked(public_ca, host):
    run(host, setup(public_ca))
    host.run("echo 'what the administrator revoked' > /etc/ssh/stint_krl")
    before = files_of(host)
    host.run(setup(public_ca).script)
    assert files_of(host) == before


def test_lines_that_sshd_refuses_are_removed_again(public_ca, host):
    host.run("echo 'NoSuchOption yes' >> /etc/ssh/sshd_config")
    done = host.run(setup(public_ca).script)
    assert done.returncode == 1
    assert "were removed" in done.stderr
    assert "10-stint" not in files_of(host)


def test_lines_that_sshd_does_not_read_are_told(public_ca, host):
    host.run("sed -i /^Include/d /etc/ssh/sshd_config")
    done = host.run(setup(public_ca).script)
    assert done.returncode == 1
    assert 'put "Include /etc/ssh/sshd_config.d/*.conf" at the top' in done.stderr


def test_an_account_that_people_use_is_told_about(public_ca):
    says = " ".join(setup(public_ca, accounts=["deploy"], gateways=[]).changes)
    assert "Logins as deploy change from every address." in says
    assert "no other certificate authority" in says


def test_all_authorities_are_installed(public_ca, host):
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8gQ0Xl0m0Zr3w7d6cJ3z1v9y0u8i5Z6fQkq3yXo9pB next"
    run(host, setup(public_ca, ca_keys=[public_ca, other]))
    assert host.run("cat /etc/ssh/stint_ca.pub").stdout.splitlines() == [public_ca, other]


def test_without_an_authority_there_is_nothing_to_install():
    with pytest.raises(NoSetup, match="no SSH certificate authority"):
        Setup(cluster="web", accounts=["stint"], ca_keys=[])


@pytest.mark.processes
def test_the_empty_list_is_one_that_openssh_reads(tmp_path, public_ca):
    krl, key = tmp_path / "krl", tmp_path / "key.pub"
    krl.write_bytes(empty_krl())
    key.write_text(public_ca + "\n")
    done = subprocess.run(["ssh-keygen", "-Q", "-f", str(krl), str(key)], capture_output=True, check=False)
    assert (done.returncode, b"ok" in done.stdout) == (0, True)
    assert base64.b64decode(empty_krl_base64()) == empty_krl()
