"""A small service of a demo target, which runs one child per unit, writes logs, and restarts a unit on
request.

Run as `python service.py serve FOLDER`. The target's `systemctl` and `journalctl` run `python service.py
systemctl FOLDER …` and `python service.py journalctl FOLDER …`. As with systemd, the serving process is not a
descendant of the caller, so units outlive the call.
"""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
import time
from pathlib import Path

UNITS = ("nginx", "haproxy")


def serve(folder: Path) -> None:
    """Run the units until this process is killed, and serve requests on the socket `ctl`."""
    running = {unit: _start(unit) for unit in UNITS}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "ctl"))
        listener.listen()
        while True:
            client, _ = listener.accept()
            with client:
                verb, _, unit = client.recv(200).decode().partition(" ")
                client.sendall(_answer(folder, running, verb, unit).encode())


def _start(unit: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(86400)", unit])


def _answer(folder: Path, running: dict[str, subprocess.Popen[bytes]], verb: str, unit: str) -> str:
    if verb == "restart":
        old = running[unit]
        old.kill()
        old.wait()
        running[unit] = _start(unit)
        text = f"restarted {unit}: process {old.pid} -> {running[unit].pid}"
    else:
        text = f"{unit} is running as process {running[unit].pid}"
    with (folder / f"{unit}.log").open("a", encoding="utf-8") as log:
        log.write(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {text}\n")
    return text + "\n"


def systemctl(folder: Path, *words: str) -> None:
    """Run `systemctl restart UNIT` or `systemctl --no-pager status UNIT`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "ctl"))
        client.sendall(" ".join(words[-2:]).encode())
        sys.stdout.write(client.recv(1000).decode())


def journalctl(folder: Path, *words: str) -> None:
    """Show the log of the unit after `-u`; with `-f`, never return."""
    unit = words[words.index("-u") + 1]
    path = folder / f"{unit}.log"
    sys.stdout.write(
        path.read_text(encoding="utf-8") if path.exists() else f"{unit} has logged nothing yet\n"
    )
    sys.stdout.flush()
    while "-f" in words:
        time.sleep(1)


if __name__ == "__main__":
    {"serve": serve, "systemctl": systemctl, "journalctl": journalctl}[sys.argv[1]](
        Path(sys.argv[2]), *sys.argv[3:]
    )
