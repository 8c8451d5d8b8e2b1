"""A running gateway, two real targets, and people with keys, tested through the real ssh client."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from broker.demo.ports import free_port
from broker.demo.sshd import SshTarget
from tests.support.pace import unhurried
from tests.support.servers.running import Running, start
from tests.support.waits import eventually
from tests.support.world.world import World

_numbers = itertools.count(random.randrange(1_000_000, 8_000_000))

# How a command may try to survive. Each names its processes by the length of their sleep, the tag.
ACT = """#!/bin/sh
kind=$1 tag=$2
case $kind in
sleep) exec sleep "$tag" ;;
nohup) nohup sleep "$tag" >/dev/null 2>&1 & wait ;;
setsid) setsid sleep "$tag" & wait ;;
daemon) setsid -f sleep "$tag" </dev/null >/dev/null 2>&1; exec sleep "$tag" ;;
leave) setsid -f sleep "$tag" </dev/null >/dev/null 2>&1 ;;
fork) (trap '' HUP; (sleep "$tag" </dev/null >/dev/null 2>&1 &) &) & exec sleep "$tag" ;;
pipe) sleep "$tag" | sleep "$tag" & wait ;;
stubborn) trap '' HUP TERM INT; sleep "$tag"; sleep "$tag"; sleep "$tag" ;;
blind) setsid -f sleep "$tag" </dev/null >/dev/null 2>&1
  for at in /proc/[0-9]*; do
    [ "$(readlink "$at/cwd")" = "$PWD" ] && grep -q STINT_RUN "$at/cmdline" && kill -KILL "${at#/proc/}"
  done 2>/dev/null
  exec sleep "$tag" ;;
flood) sh -c 'while :; do echo 0123456789012345678901234567890123456789 || exit; done' "$tag" ;;
print) echo 0123456789; exec sleep "$tag" ;;
status) exit "$tag" ;;
signal) kill -TERM $$ ;;
count) wc -c ;;
big) head -c "$tag" /dev/zero ;;
ignored) grep SigIgn /proc/self/status ;;
both) echo out; echo err >&2 ;;
esac
"""

# Those that run until they are ended.
STAYS_ALIVE = ("sleep", "nohup", "setsid", "daemon", "fork", "pipe", "stubborn")

SET = """
name: restart-web
kind: ssh
summary: What the tests run
risk: medium
contain: {contain}
parameters:
  unit: {{choice: [nginx, haproxy]}}
commands:
  - {{run: "true", effect: read}}
  - {{run: "echo restart {{unit}}", effect: change}}
  - run: "echo say {{word}}"
    where: {{word: {{pattern: "[a-z]{{1,40}}"}}}}
    effect: read
  - run: "test {{kind}} {{tag}}"
    where:
      kind: {{choice: [sleep, nohup, setsid, daemon, leave, fork, pipe, stubborn, flood, status, signal,
                       count, big, ignored, both]}}
      tag: {{int: [0, 9999999]}}
    effect: read
  - run: "test sleep {{tag}} finish"
    where: {{tag: {{int: [0, 9999999]}}}}
    effect: read
    end: {{finish: 10s}}
  - {{run: "echo held {{unit}}", effect: destructive, hold: true}}
examples: {{allow: ["true"], refuse: ["id"]}}
accept: {{uncontained contain: both kinds are tried}}
"""


def write_act(folder: Path) -> None:
    """Write the programs that the tests run into a folder."""
    act = folder / "test"
    act.write_text(ACT, encoding="utf-8")
    act.chmod(0o755)


def new_tag() -> int:
    """Return a number that no other process has among its arguments."""
    return next(_numbers)


def tagged(tag: int | str) -> list[int]:
    """Return the ids of the processes with the tag among their arguments."""
    word = str(tag).encode()
    # Called many times a second while a test waits, so as cheap as possible.
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  # cheaper
    return [pid for pid in pids if word in _words(pid).split(b"\0")]


def on_target(tag: int | str) -> list[int]:
    """Return those of a command on a target, without the client's."""
    return [pid for pid in tagged(tag) if not _words(pid).startswith(b"ssh\0")]


def _words(pid: int) -> bytes:
    """Return a process's arguments. In the middle of execve(2) it has none, so read until it has."""
    try:
        for _ in range(100):
            with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
                words = file.read()
            if words:
                return words
            # Kernel threads and zombies have no arguments and no executable: this raises for them.
            os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115  # cheaper
            time.sleep(0.001)
    except OSError:
        pass
    return b""


def connections_at(port: int) -> set[str]:
    """Return the peers of all connections that the listener at a port of this machine has not closed."""
    return _peers(port, "01")


def deserted_at(port: int) -> set[str]:
    """Return the peers that have closed their connections to a port, unnoticed by the listener so far."""
    return _peers(port, "08")


def _peers(port: int, state: str) -> set[str]:
    rows = [row.split() for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {row[2] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == state}


@dataclass
class Place(Running):
    """The gateway, its targets and its people."""

    world: World
    folder: Path
    env: dict[str, str]
    targets: dict[str, SshTarget]
    contain: str = "group"
    name: str = "tested"
    port: int = field(default_factory=free_port)
    gateway: subprocess.Popen[bytes] | None = None

    def catalog(self) -> dict[str, str]:
        """The catalog of the cluster with its real targets, and the commands."""
        rows = [
            f"  - {{name: {name}, address: 127.0.0.1, port: {target.port}, account: {target.account}, "
            f'host_key: "{target.host_key}"}}'
            for name, target in self.targets.items()
        ]
        head = "name: web\nkind: ssh\nsummary: Two\nenvironment: production\nrisk: medium\ntargets:\n"
        return {
            "clusters/web.yaml": head + "\n".join(rows) + "\n",
            "command-sets/restart-web.yaml": SET.format(contain=self.contain),
        }

    def key(self, who: str) -> Path:
        """Return the private key of a person, registered on first use."""
        from accounts.operations.add_ssh_key import add_ssh_key
        from broker.kernel import clock

        path = self.folder / f"id_{who}"
        if not path.exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", str(path)], check=True
            )
            identity = getattr(self.world, who, None)
            if identity is not None:
                public = path.with_suffix(".pub").read_text(encoding="ascii")
                add_ssh_key(identity_id=identity.pk, public_key=public, actor=identity, now=clock.now())
        return path

    def grant(self, *, most: float = 20, **changes):
        """Return an active grant of alice.

        A short `duration` in seconds grows on a busy machine, to `most`.
        """
        from broker.kernel import clock
        from sessions_app.models import Sweeper

        now = clock.now()
        Sweeper.objects.update_or_create(name="test", defaults={"seen_at": now})
        grant = self.world.grant(now=now, **unhurried(changes, most=most))
        # The gateway's own sweep may be starting it at the same time.
        eventually(lambda: grant.refresh_from_db() or grant.state == "active")
        return grant

    def logins(self, grant, target: str = "web-1") -> int:
        """Return how often commands of this grant logged in to a target. Sweeps don't count."""
        lines = self.targets[target].log.splitlines()
        return sum("Accepted publickey" in line and f" ID {grant.ref}/" in line for line in lines)

    def start(self, **env: str) -> None:
        """Start the gateway and wait until it answers."""
        with (self.folder / "gateway.log").open("ab") as log:
            self.gateway = start(
                "manage.py",
                "gateway",
                "--protocols",
                "ssh",
                "--ssh-port",
                str(self.port),
                "--name",
                self.name,
                env={**self.env, **env},
                stderr=log,
            )
        eventually(self._answers, within=60)

    def _answers(self) -> bool:
        assert self.gateway is not None
        assert self.gateway.poll() is None, self.log
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock,
        ):
            return sock.recv(4) == b"SSH-"
        return False

    @property
    def log(self) -> str:
        """Return the gateway's log."""
        with contextlib.suppress(OSError):
            return (self.folder / "gateway.log").read_text(encoding="utf-8", errors="replace")
        return ""

    def command(
        self, *words: str, user: str = "web-1", who: str = "alice", options: tuple[str, ...] = ()
    ) -> list[str]:
        """Return the client's command line, without any of this machine's configuration."""
        return [
            "ssh",
            "-F",
            "none",
            "-i",
            str(self.key(who)),
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
            f"UserKnownHostsFile={self.folder}/known_hosts",
            "-o",
            "ConnectTimeout=10",
            *options,
            "-o",
            "LogLevel=ERROR",
            f"{user}@127.0.0.1",
            *words,
        ]

    def ssh(
        self, *words: str, stdin: bytes = b"", timeout: float = 30, **more
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the client to its end."""
        return subprocess.run(
            self.command(*words, **more), input=stdin, capture_output=True, timeout=timeout, check=False
        )

    @contextlib.contextmanager
    def running(self, kind: str, **more) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """Yield the client and tag of a command that is seen to run on the target."""
        tag = new_tag()
        extra = ("finish",) if more.pop("finish", False) else ()
        words = ["test", kind, str(tag), *extra]
        client = subprocess.Popen(
            self.command(*words, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            eventually(lambda: on_target(tag) or client.poll() is not None)
            assert client.poll() is None, client.communicate()
            yield client, tag
        finally:
            client.kill()
            client.communicate()
            for pid in on_target(tag):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
