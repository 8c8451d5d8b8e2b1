"""The account that the embedded servers run as."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.embedded.errors import EmbeddedError

_LAUNCH = Path(__file__).with_name("launch.py")
# IDs that systemd and Debian leave unused (systemd's UIDS-GIDS, "Summary"), below 65536, because some
# containers map no more IDs.
_OWN = range(60578, 61184)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A uid and gid without supplementary groups."""

    uid: int
    gid: int


def server_account(state: Path) -> Account | None:
    """Return the account of the servers in the folder `state`, or None if this process is not root.

    PostgreSQL refuses to run as root. The uid and gid don't belong to any user or other service, so that no
    one else can read the servers' files. They are taken from the owner of the servers' socket folder, or
    derived from the path if there is no such folder.
    """
    if os.geteuid() != 0:
        return None
    kept = _owner(socket_folder(state))
    if kept in _OWN:
        return Account(uid=kept, gid=kept)
    first = zlib.crc32(os.fsencode(state)) % len(_OWN)
    free = next(uid for uid in (*_OWN[first:], *_OWN[:first]) if not _has_name(uid))
    return Account(uid=free, gid=free)


def socket_folder(state: Path) -> Path:
    """Return the folder of the servers' sockets."""
    return state / "run"


def maker_account() -> Account | None:
    """Return the account that creates a cluster, because initdb(1) requires a name. None as in
    `server_account`.

    Raises `EmbeddedError` on a machine without `nobody`.
    """
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "initdb needs the account `nobody`, which does not exist. Create it, or set DATABASE_URL to a"
            " server."
        ) from None
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def give(tree: Path, account: Account | None) -> None:
    """Change the owner of a folder and its content to `account`, without following links.

    Raises PermissionError for a file with several hard links.
    """
    if account is None:
        return
    for _, folders, files, here in os.fwalk(tree):
        for name in (*folders, *files):
            if name in files and os.stat(name, dir_fd=here, follow_symlinks=False).st_nlink > 1:
                raise PermissionError(f"{name} in {tree} has another hard link elsewhere")
            os.chown(name, account.uid, account.gid, dir_fd=here, follow_symlinks=False)
        os.fchown(here, account.uid, account.gid)


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return -1


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def may_enter(path: Path, account: Account | None) -> bool:
    """Whether `account` (None: this process) may enter the folder or execute the file `path`.

    A process of that account tries this, because ACLs and mounts matter as well, not only permission bits.
    """
    if account is None:
        return os.access(path, os.X_OK)
    probe = ["/usr/bin/env", "test", "-x", str(path)]
    done = subprocess.run(probe, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False)
    return done.returncode == 0


def launch_argv(argv: Sequence[str], *, account: Account | None, death_signal: signal.Signals) -> list[str]:
    """Return the command that runs `argv` as `account` and sends it `death_signal` when this process ends.

    The kernel watches the thread that starts the command, so start it from a thread that lives as long as
    this process.
    """
    who = "-" if account is None else f"{account.uid}:{account.gid}"
    launch = [sys.executable, "-I", "-S", str(_LAUNCH)]
    return [*launch, str(os.getpid()), str(int(death_signal)), who, "--", *argv]
