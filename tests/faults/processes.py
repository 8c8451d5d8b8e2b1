"""Stint's processes, started and restarted as by systemd, and their nginx configuration."""

import contextlib
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broker.production.main import files, parse
from tests.environment import ROOT
from tests.faults.clients import PUBLIC

# The same as in the systemd units.
RESTART_S = 1.0
_WEIGHT = re.compile(r"^CPUWeight=(\d+)$", re.MULTILINE)
# systemd.resource-control(5): without CPUWeight.
_USUAL_WEIGHT = 100
_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 512; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxied; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/stint.conf;
}}
"""


@dataclass
class Process:
    """One process, which is restarted whenever it ends, unless it is ``down``.

    ``weight`` is its share of CPU time, as CPUWeight in its systemd unit.
    """

    name: str
    argv: list[str]
    env: Mapping[str, str]
    folder: Path
    weight: int = _USUAL_WEIGHT
    starts: int = 0
    down: bool = False
    _running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def keep(self, over: threading.Event) -> None:
        """Run it until ``over``."""
        while not over.is_set():
            if not self.down:
                with self.log.open("ab") as log:
                    self._running = subprocess.Popen(
                        self.argv,
                        cwd=ROOT,
                        env=dict(self.env),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                _share(self._running.pid, self.weight)
                self.starts += 1
                self._running.wait()
                # KillMode=mixed: its remaining processes are killed.
                self.signal(signal.SIGKILL)
            over.wait(RESTART_S)

    def signal(self, number: int) -> None:
        """Send a signal to it and all its children."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._running.pid, number)

    def main(self, number: int) -> None:
        """Send a signal only to the main process, as systemd does to stop and to reload."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._running.pid, number)


def _share(pid: int, weight: int) -> None:
    """Give a new session this share of CPU time, as systemd gives it to a unit.

    One step of a nice value is a factor of 1.25. If the kernel groups processes by session (autogroup in
    sched(7)), only the value of the session counts; otherwise that of its processes.
    """
    nice = -round(math.log(weight / _USUAL_WEIGHT, 1.25))
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)


class Processes:
    """All of them by name, each kept by a thread. ``weights`` has the CPUWeight of each kind."""

    def __init__(self, folder: Path, weights: Mapping[str, int]) -> None:
        self._folder, self._over = folder, threading.Event()
        self._weights = weights
        self.by_name: dict[str, Process] = {}
        self._threads: list[threading.Thread] = []

    def add(self, name: str, argv: list[str], env: Mapping[str, str]) -> Process:
        """Start one."""
        weight = self._weights.get(name.partition("-")[0], _USUAL_WEIGHT)
        process = self.by_name[name] = Process(name, argv, env, self._folder, weight)
        self._threads.append(
            threading.Thread(target=process.keep, args=(self._over,), name=name, daemon=True)
        )
        self._threads[-1].start()
        return process

    def stop(self) -> None:
        """Stop all gracefully."""
        self._over.set()
        for process in self.by_name.values():
            process.signal(signal.SIGCONT)
            process.main(signal.SIGTERM)
        until = time.monotonic() + 15
        for thread in self._threads:
            thread.join(max(0.1, until - time.monotonic()))
        for process in self.by_name.values():
            process.signal(signal.SIGKILL)


def manage(*words: str) -> list[str]:
    """Run a command of manage.py."""
    return [sys.executable, "manage.py", *words]


def settings(folder: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Write what `manage.py production` writes for this machine; return the environment that its units give
    the processes, and their CPUWeight by kind.
    """
    certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
    options = parse(
        [
            str(folder),
            "--url",
            f"https://{PUBLIC}",
            "--certificate",
            str(certificate),
            "--key",
            str(key),
            "--name",
            "gateway-1",
        ]
    )
    texts = files(options)
    (folder / "stint.conf").write_text(
        texts["etc/nginx/conf.d/stint.conf"].replace("/var/log/nginx", str(folder))
    )
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
    words = shlex.split(texts["etc/stint/stint.env"], comments=True)
    env = dict(word.split("=", 1) for word in words)
    del env["STINT_SECRET_KEY_FILE"]
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        **env,
        "STINT_SECRET_KEY": texts["etc/stint/secret_key"].strip(),
        "PYTHONUNBUFFERED": "1",
    }
    return env, _weights(texts)


def _weights(texts: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for path, text in texts.items():
        unit, weight = re.search(r"/stint-(\w+)@\.service$", path), _WEIGHT.search(text)
        if unit and weight:
            found[unit[1]] = int(weight[1])
    return found
