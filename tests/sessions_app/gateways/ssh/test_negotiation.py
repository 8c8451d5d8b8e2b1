"""What the gateway negotiates, checked by an SSH auditing tool, and that its environment does not
change it.
"""

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from sessions_app.connectors.ssh.connection import CLIENT_OPTIONS
from sessions_app.connectors.ssh.options import FAST_CIPHERS, KEY_EXCHANGES, MACS
from sessions_app.gateways.ssh.server import SERVER_OPTIONS
from tests.environment import ROOT
from tests.sessions_app.gateways.conftest import make_place

GIVEN_EACH_TIME = {"host", "port", "known_hosts", "server_host_key_algs", "username", "server_host_keys"}
# An account without a name or home folder, which can still read this folder.
NAMELESS = [
    "setpriv",
    "--reuid=54321",
    "--clear-groups",
    "--inh-caps=+dac_override,+dac_read_search",
    "--ambient-caps=+dac_override,+dac_read_search",
]


@pytest.fixture
def grant(place):
    place.key("alice")
    return place.grant()


def test_a_real_gateway_has_no_failure_by_ssh_audit(place):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ssh_audit.ssh_audit",
            "--skip-rate-test",
            "--json",
            f"--port={place.port}",
            "127.0.0.1",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    found = json.loads(done.stdout)
    notes = {
        (what, one["algorithm"]): one["notes"] for what in ("kex", "key", "enc", "mac") for one in found[what]
    }
    assert {which: note["fail"] for which, note in notes.items() if note.get("fail")} == {}
    assert {name for what, name in notes if what == "enc"} == set(FAST_CIPHERS)
    assert {name for what, name in notes if what == "mac"} == set(MACS)
    # The library adds the marker against CVE-2023-48795, and extensions.
    assert {name for what, name in notes if what == "kex"} >= set(KEY_EXCHANGES)
    assert not any("group14" in name or "group-exchange" in name or "sha1" in name for _, name in notes)


@pytest.mark.parametrize("kex", KEY_EXCHANGES)
def test_debians_ssh_connects_by_each_key_exchange(place, grant, kex):
    done = place.ssh("echo", "restart", "nginx", options=("-o", f"KexAlgorithms={kex}"))
    assert (done.returncode, done.stdout) == (0, b"restart nginx\n"), done.stderr


@pytest.mark.parametrize("cipher", FAST_CIPHERS)
def test_debians_ssh_connects_by_each_cipher(place, grant, cipher):
    done = place.ssh("echo", "restart", "nginx", options=("-o", f"Ciphers={cipher}"))
    assert (done.returncode, done.stdout) == (0, b"restart nginx\n"), done.stderr


def test_debians_ssh_connects_as_it_comes_and_by_the_first_of_them(place, grant):
    assert place.ssh("true").returncode == 0
    words = place.command("true", options=("-v",))
    words[words.index("LogLevel=ERROR")] = "LogLevel=DEBUG1"
    said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stderr
    assert "kex: algorithm: mlkem768x25519-sha256" in said
    assert "kex: host key algorithm: ssh-ed25519" in said


@pytest.mark.parametrize(
    "option",
    [
        "KexAlgorithms=diffie-hellman-group14-sha256",
        "KexAlgorithms=ecdh-sha2-nistp256",
        "KexAlgorithms=diffie-hellman-group-exchange-sha256",
        "Ciphers=aes256-ctr",
        "Ciphers=aes128-cbc",
        "HostKeyAlgorithms=ecdsa-sha2-nistp256",
    ],
)
def test_what_is_weaker_is_not_negotiated(place, grant, option):
    words = place.command("true", options=("-o", option))
    words[words.index("LogLevel=ERROR")] = "LogLevel=INFO"
    done = subprocess.run(words, capture_output=True, check=False, timeout=30)
    assert done.returncode == 255
    assert b"no matching" in done.stderr


@pytest.mark.parametrize(
    ("library", "ours"),
    [
        (asyncssh.SSHClientConnectionOptions, CLIENT_OPTIONS),
        (asyncssh.SSHServerConnectionOptions, SERVER_OPTIONS),
    ],
)
def test_every_option_that_the_library_would_take_from_elsewhere_is_set(library, ours):
    """It marks a default from files, the environment or the system by an empty tuple."""
    parameters = inspect.signature(library.prepare).parameters.values()
    elsewhere = {one.name for one in parameters if one.default == () and isinstance(one.default, tuple)}
    assert "x509_trusted_cert_paths" in elsewhere
    assert elsewhere - ours.keys() - GIVEN_EACH_TIME == set()
    assert {name for name, value in ours.items() if value == () and isinstance(value, tuple)} == set()


def plant(home: Path) -> Path:
    """Fill a home folder with every misleading file that an SSH library could read; return a path that must
    not appear.
    """
    folder, used = home / ".ssh", home / "used"
    (folder / "crt").mkdir(parents=True)
    (folder / "config").write_text(
        f"Host *\n  ProxyCommand touch {used}\n  KexAlgorithms diffie-hellman-group1-sha1\n  IdentityFile"
        " ~/.ssh/id_rsa\n  User mallory\n  SendEnv *\n"
    )
    for name in ("ca-bundle.crt", "id_rsa", "id_ed25519", "known_hosts", "authorized_keys", "rc"):
        (folder / name).write_text("nothing that could be read\n")
    return used


@pytest.fixture(params=["planted", "unreadable"])
def surroundings(request, tmp_path) -> Iterator[dict[str, str]]:
    """The environment variables of a process that must ignore its environment."""
    used = plant(tmp_path / "home")
    # A name that every file system refuses: any access there fails, also for root.
    home = str(tmp_path / "home") if request.param == "planted" else f"/{'x' * 300}"
    yield {"HOME": home, "SSH_AUTH_SOCK": f"{home}/agent", "SSH_ASKPASS": "/bin/false", "DISPLAY": ":9"}
    assert not used.exists()


def test_ssh_check_takes_nothing_from_where_it_runs(place, surroundings):
    done = subprocess.run(
        [sys.executable, "manage.py", "ssh_check", "web"],
        cwd=ROOT,
        env={**place.env, **surroundings},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout


@pytest.mark.processes
def test_a_gateway_takes_nothing_from_where_it_runs(
    tmp_path_factory, django_db_setup, django_db_blocker, surroundings
):
    with django_db_blocker.unblock():
        for place in make_place(tmp_path_factory, start=False):
            place.start(**surroundings)
            place.key("alice")
            place.grant()
            done = place.ssh("echo", "restart", "nginx")
            assert (done.returncode, done.stdout) == (0, b"restart nginx\n"), place.log


BOTH_SIDES = """
import asyncssh, django
django.setup()
from sessions_app.connectors.ssh.connection import CLIENT_OPTIONS
from sessions_app.gateways.ssh.server import SERVER_OPTIONS
key = asyncssh.generate_private_key("ssh-ed25519")
asyncssh.SSHServerConnectionOptions(**SERVER_OPTIONS, server_host_keys=[key])
asyncssh.SSHClientConnectionOptions(**CLIENT_OPTIONS, host="h", username="u", known_hosts=([key], [], []))
"""


@pytest.fixture
def their_folder() -> Iterator[str]:
    """A folder of the account without a name; its parents must be traversable for that account."""
    with tempfile.TemporaryDirectory(prefix="stint-nameless-") as folder:
        os.chown(folder, 54321, 54321)
        yield folder


@pytest.mark.processes
def test_an_account_without_a_name_and_a_home_will_do(their_folder):
    """As containers have them: the library asks for both, and fails where there is neither."""
    env = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "broker.settings",
        "STINT_STATE_DIR": their_folder,
        "DATABASE_URL": "postgresql:///unused",
        "REDIS_URL": "redis://unused",
        "STINT_SECRET_KEY": "x" * 50,
    }
    done = subprocess.run(
        [*NAMELESS, sys.executable, "-c", BOTH_SIDES],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
