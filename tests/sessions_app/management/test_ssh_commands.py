"""`ssh_target_setup`, `ssh_check` and `ssh_ca`, as an administrator runs them."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from broker.demo.sshd import SshTarget
from tests.support.world.acts import events


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def authorities() -> dict[str, str]:
    """What the command lists: fingerprint to state."""
    return {line.split()[1]: line.split()[0] for line in run("ssh_ca").splitlines()}


def catalog(world, sshd: SshTarget) -> None:
    head = "name: web\nkind: ssh\nsummary: One\nenvironment: production\nrisk: medium\ntargets:\n"
    row = (
        f"  - {{name: web-1, address: 127.0.0.1, port: {sshd.port}, account: root, host_key:"
        f' "{sshd.host_key}"}}\n'
    )
    world.apply({"clusters/web.yaml": head + row})


def test_the_set_up_of_a_cluster_has_all_authorities_and_the_gateways_address(world):
    text = run("ssh_target_setup", "web", "--gateway", "192.0.2.5")
    assert "Match User root Address 192.0.2.5" in text
    assert "AuthorizedPrincipalsFile" in text
    assert "stint:web" in text
    call_command("ssh_ca", "prepare", stdout=StringIO())
    assert run("ssh_target_setup", "web", "--gateway", "192.0.2.5").count("ssh-ed25519 ") == 2


def test_there_is_no_set_up_for_root_without_the_gateways_address(world, settings):
    with pytest.raises(CommandError, match="lock themselves out"):
        run("ssh_target_setup", "web")
    with pytest.raises(CommandError, match="not an address or a network"):
        run("ssh_target_setup", "web", "--gateway", "somewhere; reboot")
    settings.SSH_SOURCE_ADDRESS = ["192.0.2.0/28"]
    assert "Address 192.0.2.0/28" in run("ssh_target_setup", "web")


@pytest.mark.parametrize("command", ["ssh_target_setup", "ssh_check"])
def test_a_cluster_that_is_not_there_is_told(world, command):
    with pytest.raises(CommandError, match="manage.py apply"):
        run(command, "no-such")


@pytest.mark.processes
def test_a_check_tells_right_from_wrong_and_exits_accordingly(world):
    run("ssh_ca")
    with SshTarget([], ["web"]) as sshd:
        catalog(world, sshd)
        out = StringIO()
        with pytest.raises(CommandError, match="Needs fixing: web-1"):
            call_command("ssh_check", "web", stdout=out)
        assert "FAIL  certificate accepted" in out.getvalue()
        sshd.trust([line.split(maxsplit=2)[2] for line in run("ssh_ca").splitlines()])
        # The penalty list spares this address, so that the next login is not held up.
        said = run("ssh_check", "web")
    assert "web-1 (root@127.0.0.1" in said
    assert "FAIL" not in said


def test_an_authority_is_changed_without_a_gap(world):
    """Trusted before it signs, and trusted for as long as anything signed by it may be in use."""
    (first,) = authorities()
    run("ssh_ca", "prepare")
    states = authorities()
    (second,) = set(states) - {first}
    assert states == {first: "signs", second: "prepared"}
    run("ssh_ca", "rotate")
    assert authorities() == {first: "trusted", second: "signs"}
    run("ssh_ca", "retire", first)
    assert authorities() == {second: "signs"}
    assert events(first) == ["ca.created", "ca.retired"]
    assert events(second) == ["ca.created", "ca.rotated"]
