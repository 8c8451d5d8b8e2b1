"""A machine booted by systemd, with sshd, sudo and nginx as units: Debian in a container that shares this
machine's network. What is changed on it is gone when it stops.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from broker.demo.ports import free_port
from tests.environment import ROOT
from tests.support.leftovers import end_all, within
from tests.support.pace import allow
from tests.support.waits import eventually

# `.ci/bootstrap` creates it.
TREE = ROOT / ".cache" / "systemd-host"
_SSHD = """ListenAddress 127.0.0.1:{port}
PerSourcePenalties no
"""
_NGINX = """server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "hello\\n"; }}
}}
"""


@dataclass
class SystemdHost:
    """``admin_key`` is a private key that logs in as root. ``web_port`` is the port of nginx, and ``account``
    the one that Stint logs in as.
    """

    folder: Path
    port: int
    web_port: int
    account: str = "stint"

    @property
    def admin_key(self) -> Path:
        return self.folder / "admin_key"

    @property
    def host_key(self) -> str:
        algorithm, blob, *_ = self.run("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()
        return f"{algorithm} {blob}"

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root, over a login of the administrator."""
        # The setup may change logins from the gateway's address, 127.0.0.1.
        words = ["ssh", "-F", "none", "-b", "127.0.0.2", "-i", str(self.admin_key), "-p", str(self.port)]
        for option in (
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ):
            words += ["-o", option]
        words += ["root@127.0.0.1", "sh"]
        return subprocess.run(
            words, input=script, capture_output=True, text=True, check=False, timeout=allow(60)
        )

    def add_program(self, name: str, text: str) -> None:
        """Install a shell script where both root and other accounts find it."""
        path = f"/usr/local/bin/{name}"
        self.do(f"cat > {path} <<'END'\n#!/bin/sh\n{text}\nEND\nchmod 755 {path}")

    def do(self, script: str) -> str:
        """Run a script that must succeed, and return its output."""
        done = self.run(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def set_up(self, script: str) -> None:
        """Run a setup script, and wait until sshd listens again."""
        begun = self._starts()
        self.do(script)
        eventually(lambda: self._starts() > begun)

    def _starts(self) -> int:
        return self.run("journalctl -u ssh").stdout.count("Server listening on")

    def answers(self) -> bool:
        """Whether the machine has booted."""
        return self.run("systemctl is-system-running").stdout in {"running\n", "degraded\n"}


def why_not() -> str:
    """Return why no such machine can boot here; empty if one can."""
    if os.geteuid() != 0:
        return "a machine booted by systemd needs root"
    if shutil.which("systemd-nspawn") is None or not TREE.is_dir():
        return "systemd-nspawn or the machine's files are missing: run .ci/bootstrap test"
    tried = subprocess.run(
        [*_nspawn("stint-try"), "true"], env=_env(), capture_output=True, text=True, check=False
    )
    return "" if tried.returncode == 0 else f"systemd-nspawn can't run here: {tried.stderr.strip()[-300:]}"


@contextlib.contextmanager
def systemd_host(folder: Path) -> Iterator[SystemdHost]:
    """Yield a running machine."""
    host = SystemdHost(folder, free_port(), free_port())
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.admin_key)], check=True)
    (folder / "sshd.conf").write_text(_SSHD.format(port=host.port), encoding="ascii")
    (folder / "nginx.conf").write_text(_NGINX.format(port=host.web_port), encoding="ascii")
    (folder / "hosts").write_text("127.0.0.1 localhost web-1\n", encoding="ascii")
    (folder / "hostname").write_text("web-1\n", encoding="ascii")
    files = {
        "hosts": "/etc/hosts",
        "hostname": "/etc/hostname",
        "sshd.conf": "/etc/ssh/sshd_config.d/00-test.conf",
        "nginx.conf": "/etc/nginx/sites-available/default",
        "admin_key.pub": "/root/.ssh/authorized_keys",
    }
    bound = [f"--bind-ro={folder / name}:{place}" for name, place in files.items()]
    command = [*_nspawn(f"stint-{os.getpid()}-{host.port}"), *bound, "--boot"]
    with (folder / "boot.log").open("wb") as log:
        started = subprocess.Popen(command, env=_env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        eventually(lambda: host.answers() or started.poll() is not None, within=60)
        assert started.poll() is None, (folder / "boot.log").read_text(errors="replace")
        yield host
    finally:
        _power_off(started)


def _nspawn(name: str) -> list[str]:
    # Its files stay as they are, so several machines can share them.
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={TREE}",
        "--volatile=overlay",
        f"--machine={name}",
        "--register=no",
        "--keep-unit",
        "--private-users=no",
    ]


def _env() -> dict[str, str]:
    return {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"}


def _power_off(started: subprocess.Popen[bytes]) -> None:
    """Pull the plug: process 1 of the machine ends, and the kernel ends all others with it."""
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    with contextlib.suppress(OSError, ValueError, AssertionError):
        end_all(within("pid", int(children.read_text().split()[0])))
    started.kill()
    started.wait()
