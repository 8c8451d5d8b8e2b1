"""`systemctl` for a machine without systemd: starts units by their lines, as their account, and waits until
they are ready.

Of the units' sandboxes it applies only NoNewPrivileges and MemoryDenyWriteExecute.

Sources: systemd.exec(5), systemd.service(5), sd_notify(3), prctl(2) (PR_SET_MDWE).
"""

import ctypes
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.pace import allow

UNITS, RUNNING = Path("/etc/systemd/system"), Path("/run/units")
_PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE, _MDWE_REFUSE_EXEC_GAIN = 38, 65, 1


def lines(unit: str) -> list[tuple[str, str]]:
    """Return a unit's settings with those of its drop-in, in order, with the instance filled in."""
    base, _, instance = unit.removesuffix(".service").partition("@")
    files = [
        UNITS / (f"{base}@.service" if instance else f"{base}.service"),
        *sorted((UNITS / "stint-.service.d").glob("*.conf")),
    ]
    found = []
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found.append((name, value.replace("%i", instance)))
    return found


def environment(said: list[tuple[str, str]]) -> dict[str, str]:
    """Return the environment of a unit's process."""
    found = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    for name, value in said:
        if name == "Environment":
            found |= dict(word.split("=", 1) for word in shlex.split(value))
        if name == "EnvironmentFile":
            text = Path(value).read_text(encoding="utf-8")
            found |= dict(word.split("=", 1) for word in shlex.split(text, comments=True))
    return found


def start(unit: str) -> None:
    """Start a unit, and wait until it is done or ready."""
    said = lines(unit)
    last = dict(said)
    env = environment(said)
    RUNNING.mkdir(exist_ok=True)
    log = (RUNNING / f"{unit}.log").open("ab")
    account = pwd.getpwnam(last["User"])
    state = Path("/var/lib") / last["StateDirectory"]
    state.mkdir(mode=int(last["StateDirectoryMode"], 8), exist_ok=True)
    os.chown(state, account.pw_uid, account.pw_gid)

    def become() -> None:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_MDWE, _MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        if last["Type"] == "notify":
            address = RUNNING / f"{unit}.{time.monotonic_ns()}"
            notify.bind(str(address))
            address.chmod(0o777)
            env["NOTIFY_SOCKET"] = str(address)
        process = subprocess.Popen(
            shlex.split(last["ExecStart"]),
            cwd=last["WorkingDirectory"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=int(last["UMask"], 8),
            preexec_fn=become,  # noqa: PLW1509  # nothing here has threads
        )
        if last["Type"] == "oneshot":
            if process.wait():
                sys.exit(f"{unit} failed\n{(RUNNING / f'{unit}.log').read_text()}")
            return
        notify.settimeout(allow(60))
        try:
            assert notify.recv(512) == b"READY=1"
        except TimeoutError:
            sys.exit(f"{unit} is not ready\n{(RUNNING / f'{unit}.log').read_text()}")
    (RUNNING / f"{unit}.pid").write_text(str(process.pid))


def stop(unit: str) -> None:
    """Stop a unit, as KillMode=mixed does."""
    file = RUNNING / f"{unit}.pid"
    pid = int(file.read_text())
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + allow(15)
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    file.unlink()


def main(verb: str, *words: str) -> None:
    """Do what `systemctl VERB UNIT…` does, as far as the guides need it."""
    named = [word for word in words if not word.startswith("-")]
    if verb == "daemon-reload":
        return
    if named == ["nginx"]:
        subprocess.run(["nginx"] if verb in ("start", "restart") else ["nginx", "-s", "reload"], check=True)
        return
    if named == ["postgresql"]:
        (postgres,) = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
        words_of_it = (str(postgres), "-D", "data", "-w", "-l", "log", verb)
        account = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
        subprocess.run(
            (*account, *words_of_it), check=True, stdout=subprocess.DEVNULL, cwd="/var/lib/postgresql"
        )
        return
    if verb == "stop" and named == ["stint.target"]:
        named = [path.stem for path in RUNNING.glob("*.pid")]
    for name in named:
        units = (
            dict(_target(name))["Wants"].split()
            if name.endswith(".target")
            else [name.removesuffix(".service")]
        )
        for unit in units:
            if verb in ("restart", "stop"):
                stop(unit.removesuffix(".service"))
            if verb != "stop":
                start(unit.removesuffix(".service"))


def _target(name: str) -> list[tuple[str, str]]:
    text = (UNITS / name).read_text(encoding="utf-8")
    return [(line.partition("=")[0], line.partition("=")[2]) for line in text.splitlines() if "=" in line]


if __name__ == "__main__":
    main(*sys.argv[1:])
