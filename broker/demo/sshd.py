"""A real OpenSSH server on a free loopback port, in its own folder, with given certificate authorities."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from broker.demo.ports import free_port
from sessions_app.connectors.ssh.setup import principal_of

_PRIVILEGE_SEPARATION = Path("/run/sshd")
_EMPTY_KRL = b"SSHKRL\n\0" + (1).to_bytes(4, "big") + bytes(8 + 8 + 8 + 4 + 4)
_START_TIMEOUT = 60.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NoSSHServer(RuntimeError):
    """A target can't be started on this machine. The message says what is missing."""


def usable_sshd() -> str:
    """Return the path of sshd. Raises NoSSHServer if sshd is not installed, or this process is not root."""
    if os.geteuid() != 0:
        raise NoSSHServer("The SSH targets are real sshd processes, which need root. Run this again as root.")
    sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if sshd is None:
        raise NoSSHServer("sshd was not found. Install it with `apt install openssh-server`.")
    return sshd


@dataclass
class SshTarget:
    """One target. Use it as a context manager, or call ``start`` and ``stop``. Needs root, like sshd.

    ``ca_keys`` are public keys in OpenSSH format. Their certificates are accepted only for one of
    ``clusters``. Only ``account`` can log in. The folder ``programs`` comes first on the PATH. ``options``
    are additional lines of sshd_config, which take precedence over those below. ``host_ca`` (path of a
    private key) signs a host certificate for 127.0.0.1. ``port`` 0 selects a free one. ``environment`` is
    added to the environment of commands on the target. ``stop`` removes everything except the changes made by
    these commands, and /run/sshd, which all sshd processes of a machine share.
    """

    ca_keys: Sequence[str]
    clusters: Sequence[str] = ()
    account: str = "root"
    programs: Path | None = None
    options: Sequence[str] = ()
    host_ca: Path | None = None
    port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    exempt_from_penalties: bool = True
    folder: Path = field(default=Path(), init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """The address at which the target listens."""
        return "127.0.0.1"

    @property
    def host_key(self) -> str:
        """The public host key, in the format of the catalog."""
        algorithm, blob, *_ = (self.folder / "host_key.pub").read_text(encoding="ascii").split()
        return f"{algorithm} {blob}"

    @property
    def _path(self) -> str:
        return f"{self.programs}:{_PATH}" if self.programs else _PATH

    @property
    def log(self) -> str:
        """The log of sshd so far."""
        return (self.folder / "sshd.log").read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """The process id of the listening process. Raises NoSSHServer if it is not running."""
        if self._process is None:
            raise NoSSHServer("The SSH server is not running.")
        return self._process.pid

    def start(self) -> None:
        """Start the server, and wait until it accepts connections. Raises NoSSHServer."""
        sshd = usable_sshd()
        if not self.folder.name:
            self._prepare()
        self._listen(sshd)

    def stop(self) -> None:
        """Stop the server and its connections, and remove its folder."""
        self.kill()
        if self.folder.name:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = Path()

    def kill(self) -> None:
        """Stop the server and its connections, but keep its folder and port for the next ``start``."""
        if self._process is None:
            return
        connections = self.connections()
        self._process.kill()
        self._process.wait()
        self._process = None
        for pid in connections:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def connections(self) -> list[int]:
        """Return the process ids of the sshd processes that serve connections."""
        return [pid for pid in _children(self.pid) if _name(pid).startswith("sshd")]

    def trust(self, ca_keys: Iterable[str]) -> None:
        """Trust these authorities from the next connection on."""
        self._replace("ca.pub", "".join(f"{key.strip()}\n" for key in ca_keys).encode())

    def revoke_serial(self, ca_key: str, serial: int) -> None:
        """Add one certificate of an authority to the revocation list."""
        (self.folder / "revoked_ca.pub").write_text(ca_key + "\n", encoding="ascii")
        (self.folder / "revoked").write_text(f"serial: {serial}\n", encoding="ascii")
        target = self.folder / "krl.new"
        _keygen(
            "-k", "-f", str(target), "-s", str(self.folder / "revoked_ca.pub"), str(self.folder / "revoked")
        )
        target.replace(self.folder / "krl")

    def _prepare(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stint-sshd-"))
        self.folder.chmod(0o755)
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        _keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / "host_key"))
        if self.host_ca is not None:
            _keygen(
                "-q",
                "-s",
                str(self.host_ca),
                "-I",
                "target",
                "-h",
                "-n",
                self.address,
                str(self.folder / "host_key.pub"),
            )
        (self.folder / "home").mkdir(mode=0o755)
        (self.folder / "krl").write_bytes(_EMPTY_KRL)
        self.trust(self.ca_keys)
        self._replace("principals", "".join(f"{principal_of(name)}\n" for name in self.clusters).encode())
        self.port = self.port or free_port()
        (self.folder / "sshd_config").write_text("\n".join(self._config()) + "\n", encoding="utf-8")

    def _config(self) -> list[str]:
        environment = {"HOME": f"{self.folder}/home", "PATH": self._path, **self.environment}
        return [
            *self.options,
            f"ListenAddress {self.address}:{self.port}",
            f"HostKey {self.folder}/host_key",
            *([f"HostCertificate {self.folder}/host_key-cert.pub"] if self.host_ca else []),
            f"PidFile {self.folder}/sshd.pid",
            f"TrustedUserCAKeys {self.folder}/ca.pub",
            f"AuthorizedPrincipalsFile {self.folder}/principals",
            # The folder's parent is world-writable.
            "StrictModes no",
            f"RevokedKeys {self.folder}/krl",
            "AuthorizedKeysFile none",
            f"AllowUsers {self.account}",
            "PermitRootLogin forced-commands-only",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "PermitUserRC no",
            "DisableForwarding yes",
            # This keeps the startup files of this machine's shell from affecting the target.
            " ".join(["SetEnv", *(f"{name}={value}" for name, value in environment.items())]),
            "ClientAliveInterval 10",
            "ClientAliveCountMax 2",
            *([f"PerSourcePenaltyExemptList {self.address}"] if self.exempt_from_penalties else []),
            "LogLevel VERBOSE",
        ]

    def _listen(self, sshd: str) -> None:
        config = str(self.folder / "sshd_config")
        self._process = subprocess.Popen(
            [sshd, "-D", "-f", config, "-E", str(self.folder / "sshd.log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": _PATH},
            start_new_session=True,
        )
        until = time.monotonic() + _START_TIMEOUT
        while not _answers(self.address, self.port):
            if self._process.poll() is not None or time.monotonic() > until:
                log = self.log
                self.kill()
                raise NoSSHServer(f"The SSH server did not start: {log.strip() or 'no output'}")
            time.sleep(0.01)

    def _replace(self, name: str, content: bytes) -> None:
        fresh = self.folder / f"{name}.new"
        fresh.write_bytes(content)
        fresh.replace(self.folder / name)


def _keygen(*arguments: str) -> None:
    subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True)


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1) as sock:
            return sock.recv(4) == b"SSH-"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    """Return all descendants of a process."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parent = int(
                    (entry / "stat")
                    .read_text(encoding="utf-8", errors="replace")
                    .rpartition(")")[2]
                    .split()[1]
                )
                parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
