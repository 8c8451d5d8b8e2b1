"""`stint ssh-config`: plain ssh and scp, by the real clients, through the real gateway."""

import subprocess

import pytest

CONFIG = ".ssh/config"


@pytest.fixture
def alice(laptops):
    """Alice, with Stint's hosts in her ssh_config."""
    terminal = laptops["alice"]
    (terminal.home / CONFIG).write_text("Host other\n  Port 1\n")
    assert terminal("ssh-config", "--write").returncode == 0
    yield terminal
    terminal("ssh-config", "--remove")


def runs(terminal, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a client with the person's own ssh_config."""
    return subprocess.run(
        [program, "-F", str(terminal.home / CONFIG), *words],
        cwd=terminal.home,
        env=terminal.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_plain_ssh_and_scp_use_the_grant_that_is_held(alice, laptops):
    assert alice("ssh", "web-1", "--keep", "-m", "Look", "--", "echo", "looked").returncode == 0
    done = runs(alice, "ssh", "web-1", "echo", "looked")
    assert (done.returncode, done.stdout) == (0, "looked\n"), done.stderr
    folder = laptops.place.folder.resolve()
    (folder / "log").write_bytes(b"x" * 1_000_000)
    copied = runs(alice, "scp", f"web-1:{folder}/log", "log")
    assert (copied.returncode, (alice.home / "log").read_bytes()) == (0, b"x" * 1_000_000), copied.stderr


def test_without_a_terminal_and_a_grant_ssh_shows_how_to_request_one(alice):
    done = runs(alice, "ssh", "web-1", "echo", "looked")
    assert done.returncode == 255
    assert "You have no grant for web-1." in done.stderr
    assert "  stint request web look-at-web --target web-1 -m REASON --yes --wait" in done.stderr
    assert alice.json("requests", "--state", "pending")["results"] == []


def test_at_a_terminal_ssh_asks_what_to_request_and_then_connects(alice):
    at_ssh = type(alice)(alice.home, alice.env, ("/usr/bin/ssh", "-F", str(alice.home / CONFIG)))
    status, shown = at_ssh.at_a_terminal("web-1", "echo", "looked", types="1\nHave a look\n")
    assert status == 0, shown
    assert "looked" in shown.splitlines()
    (grant,) = alice.json("grants")["results"]
    assert f"{grant['ref']} stays active until " in shown


def test_a_gateway_with_other_host_keys_is_refused(alice):
    alice("ssh", "web-1", "--keep", "-m", "Look", "--", "echo", "looked")
    done = runs(alice, "ssh", "-o", "UserKnownHostsFile=/dev/null", "web-1", "echo", "looked")
    assert (done.returncode, "Host key verification failed" in done.stderr) == (255, True), done.stderr


def test_writing_again_changes_nothing_and_removing_leaves_the_own_configuration(alice):
    own = alice.home / CONFIG
    (written,) = (alice.home / ".ssh" / "config.d").iterdir()
    before = own.read_text(), written.read_text()
    assert alice("ssh-config", "--write").returncode == 0
    assert (own.read_text(), written.read_text()) == before
    assert alice("ssh-config").stdout == before[1]
    assert alice("ssh-config", "--remove").returncode == 0
    assert (own.read_text(), written.exists()) == ("Host other\n  Port 1\n", False)


def test_a_prefix_keeps_hosts_apart_from_those_of_the_own_configuration(alice):
    assert "Host stint-web-1\n  User web-1\n" in alice("ssh-config", "--prefix", "stint-").stdout
    assert alice.fails("ssh-config", "--prefix", "x\nHost *")[0] == 2
