"""Execute a program as another account. The program gets a signal when its starter ends.

Run by path in a bare interpreter (`python -I -S launch.py STARTER SIGNAL UID:GID|- -- PROGRAM ...`). This is
a separate program, because code between fork and exec is unsafe in a process with threads. Exit status 127:
the program could not be started. Sources: prctl(2) PR_SET_PDEATHSIG, setuid(2), credentials(7).
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def become(starter: int, signal_number: int, account: str, argv: list[str]) -> None:
    """Switch to `account` ("uid:gid", or "-" for none), set the signal, and exec `argv`. Returns only on an
    error.
    """
    if account != "-":
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    # Set the signal after the change of account, which would clear it.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    # The starter may have ended before the signal was set.
    if os.getppid() != starter:
        sys.exit(0)
    os.umask(0o077)
    os.execvp(argv[0], argv)  # noqa: S606 - the point of this program


if __name__ == "__main__":
    divider = sys.argv.index("--")
    try:
        become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[divider + 1 :])
    except OSError as problem:
        sys.stderr.write(f"can't start {sys.argv[divider + 1]}: {problem.strerror}\n")
        sys.exit(127)
