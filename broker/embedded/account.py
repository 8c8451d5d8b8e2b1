"""Which account the embedded servers run as, what it can reach, and how a program is started as it."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCH = Path(__file__).with_name("launch.py")
_NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Account:
    """A uid and gid without supplementary groups."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Return the account that servers drop to: None when this process isn't root and so needs no drop.

    As root: whoever called sudo, else `nobody`. PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    caller = os.environ.get("SUDO_UID", "")
    uid = int(caller) if caller.isdigit() and int(caller) > 0 else _nobody()
    try:
        return Account(uid=uid, gid=pwd.getpwuid(uid).pw_gid)
    except KeyError:
        return Account(uid=_NOBODY, gid=_NOBODY)


def _nobody() -> int:
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return _NOBODY


def may_enter(path: Path, account: Account | None) -> bool:
    """Return whether `account` (None: this process) may enter the folder or execute the file `path`.

    Asks the kernel in a process of that account, because permission bits alone don't tell it (ACLs, mounts).
    """
    if account is None:
        return os.access(path, os.X_OK)
    probe = ["/usr/bin/env", "test", "-x", str(path)]
    done = subprocess.run(probe, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False)
    return done.returncode == 0


def launch_argv(argv: Sequence[str], *, account: Account | None, death_signal: signal.Signals) -> list[str]:
    """Return the command that runs `argv` as `account` and sends it `death_signal` when this process dies.

    For the kernel it is the thread that starts the command: start it from one that lives as long.
    """
    who = "-" if account is None else f"{account.uid}:{account.gid}"
    launch = [sys.executable, "-I", "-S", str(_LAUNCH)]
    return [*launch, str(os.getpid()), str(int(death_signal)), who, "--", *argv]
