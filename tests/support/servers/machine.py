"""A separate machine to install Stint on, made of namespaces: /etc, /opt, /run, /var, /usr/local and loopback
are its own, and gone afterwards.

It has PostgreSQL, Valkey, nginx and an sshd at their usual ports, and no systemd: units run by their lines.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from broker.embedded.binaries import find_valkey
from broker.embedded.state import temporary_state_dir
from tests.environment import ROOT
from tests.support.leftovers import holding
from tests.support.servers.postgres_server import self_signed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLACES = "etc opt run srv/lib srv/log srv/cache srv/backups usr"
_OWN = """
set -e
cd $1
cp -a /etc/. etc
mount --bind etc /etc; mount --bind opt /opt; mount --bind run /run; mount --bind usr /usr/local/sbin
mount --bind srv/lib /var/lib; mount --bind srv/log /var/log; mount --bind srv/cache /var/cache
mount --bind srv/backups /var/backups
ip link set lo up
echo made
exec sleep infinity
"""


@dataclass
class Machine:
    """``folder`` has all files written on it. ``space`` is the process whose namespaces are the machine's."""

    folder: Path
    space: int

    def run(self, script: str, *, online: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script there as root, as over a login; ``online`` if it needs package registries."""
        spaces = ["--mount"] if online else ["--mount", "--net"]
        words = [
            "nsenter",
            f"--target={self.space}",
            *spaces,
            "bash",
            "-c",
            f"cd {ROOT if online else '/'} && {script}",
        ]
        kept = {name: value for name, value in os.environ.items() if online and name != "PATH"}
        return subprocess.run(
            words,
            env={**kept, "PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=580,
        )

    def do(self, script: str, **env: str) -> str:
        """Run a script that must succeed, and return its output."""
        done = self.run(script, **env)
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """Yield a running machine. Needs root, as the installation does."""
    with temporary_state_dir("stint-machine-") as folder:
        folder.chmod(0o755)
        for place in _PLACES.split():
            (folder / place).mkdir(parents=True)
        holder = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--net",
                "--propagation",
                "private",
                "bash",
                "-c",
                _OWN,
                "sh",
                str(folder),
            ],
            stdout=subprocess.PIPE,
            env={**os.environ, "PATH": PATH},
        )
        with holding(holder, "net"):
            made = Machine(folder, holder.pid)
            _furnish(made)
            yield made


def _furnish(made: Machine) -> None:
    """Start what Debian's packages would have started, and install the replacement for systemd."""
    key, certificate = self_signed("127.0.0.1", "stint.example.com")
    etc = made.folder / "etc"
    (etc / "stint/tls").mkdir(parents=True)
    for name, text in (("privkey.pem", key), ("fullchain.pem", certificate)):
        (etc / "stint/tls" / name).write_text(text)
    with (etc / "hosts").open("a") as hosts:
        hosts.write("127.0.0.1 stint.example.com web-1.example.com\n")
    with (etc / "ssl/certs/ca-certificates.crt").open("a") as trusted:
        trusted.write(certificate)
    systemctl = made.folder / "usr/systemctl"
    systemctl.write_text(
        f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m tests.support.servers.units "$@"\n'
    )
    systemctl.chmod(0o755)
    made.do(
        "mkdir -p /var/lib/nginx /var/log/nginx && rm -f /etc/nginx/sites-enabled/* && install -d -o postgres"
        " /var/lib/postgresql && cd /var/lib/postgresql && bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)"
        " && as='setpriv --reuid=postgres --regid=postgres --clear-groups' && $as $bin/initdb -D data -A peer"
        " --auth-host=scram-sha-256 >/dev/null && install -d -o postgres /run/postgresql && $as $bin/pg_ctl"
        " -D data -w -l log -o '-k /run/postgresql' start >/dev/null"
    )
    made.do(f"cd /var/lib && {find_valkey()} --daemonize yes --save '' >/dev/null")
