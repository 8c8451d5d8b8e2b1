"""A host with a stock sshd that scripts may change: /etc, /run, /srv and /usr/local/bin are its own, and gone
afterwards.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from broker.demo.ports import free_port
from broker.demo.sshd import usable_sshd
from tests.support.leftovers import holding
from tests.support.pace import allow
from tests.support.waits import eventually

# As Debian ships it, except for its address and the location of the administrator's key: no home folder is
# touched.
_CONFIG = """Include /etc/ssh/sshd_config.d/*.conf
ListenAddress 127.0.0.1:{port}
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/keys_of_%u
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PerSourcePenalties no
LogLevel VERBOSE
"""
_OWN_FOLDERS = (
    "mount -t tmpfs tmpfs $1 && cp -a /etc/. $1 && mount --bind $1 /etc && mount -t tmpfs tmpfs /run && "
    "mount -t tmpfs -o mode=755 tmpfs /usr/local/bin && mount -t tmpfs -o mode=755 tmpfs /srv"
)


@dataclass
class SshHost:
    """``folder`` is empty. ``admin_key`` is a private key that logs in as root, as administrators do.

    ``network`` is a process whose network it shares; 0: this one's.
    """

    folder: Path
    port: int = 0
    network: int = 0
    _space: int = 0

    @property
    def admin_key(self) -> Path:
        return self.folder / "admin_key"

    @property
    def host_key(self) -> str:
        algorithm, blob, *_ = self._public("host_key").split()
        return f"{algorithm} {blob}"

    @property
    def inside(self) -> list[str]:
        """The command prefix that runs a command in the network of the host."""
        return ["nsenter", *([f"--net=/proc/{self.network}/ns/net"] if self.network else [])]

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")

    @property
    def starts(self) -> int:
        """Return how often sshd has started to listen."""
        return self.log.count("Server listening on")

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root on the host."""
        words = [*self.inside, f"--mount=/proc/{self._space}/ns/mnt", "sh", "-c", script]
        # As over a login: without the tests' environment.
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(words, capture_output=True, text=True, check=False, env=env, cwd="/")

    def add_program(self, name: str, text: str) -> None:
        """Install a shell script where both root and other accounts find it."""
        path = f"/usr/local/bin/{name}"
        done = self.run(f"cat > {path} <<'END'\n#!/bin/sh\n{text}\nEND\nchmod 755 {path}")
        assert done.returncode == 0, done.stderr

    def login(
        self, account: str, *, come_from: str, command: str = "id -un"
    ) -> subprocess.CompletedProcess[str]:
        """Log in with the administrator's key, from one of this machine's addresses."""
        return subprocess.run(
            [
                "ssh",
                "-F",
                "none",
                "-b",
                come_from,
                "-i",
                str(self.admin_key),
                "-p",
                str(self.port),
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "LogLevel=ERROR",
                f"{account}@127.0.0.1",
                command,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=allow(30),
        )

    def _public(self, name: str) -> str:
        return (self.folder / f"{name}.pub").read_text(encoding="ascii")


@contextlib.contextmanager
def ssh_host(folder: Path, *, network: int = 0) -> Iterator[SshHost]:
    """Yield a running host. Needs root, as sshd does."""
    sshd, host = usable_sshd(), SshHost(folder, free_port(), network)
    for name in ("host_key", "admin_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "etc").mkdir()
    holder = subprocess.Popen(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            f"{_OWN_FOLDERS} && echo made && exec sleep infinity",
            "sh",
            str(folder / "etc"),
        ],
        stdout=subprocess.PIPE,
    )
    with holding(holder, "mnt"):
        host._space = holder.pid
        _start(host, sshd)
        yield host


def _start(host: SshHost, sshd: str) -> None:
    config = _CONFIG.format(port=host.port)
    done = host.run(
        f"rm -rf /etc/ssh && mkdir -p /etc/ssh/sshd_config.d /run/sshd && printf %s '{config}' >"
        f" /etc/ssh/sshd_config && install -m 600 {host.folder}/host_key /etc/ssh/host_key && cp"
        f" {host.admin_key}.pub /etc/ssh/keys_of_root && exec {sshd} -E {host.folder}/sshd.log"
    )
    assert done.returncode == 0, done.stderr
    eventually(lambda: _answers(host))


def _answers(host: SshHost) -> bool:
    asked = f"exec 3<>/dev/tcp/127.0.0.1/{host.port} && head -c 4 <&3"
    return host.run(f"timeout 5 bash -c '{asked}'").stdout == "SSH-"
