"""Create a PostgreSQL cluster in a temporary folder, so that an interrupted run leaves no partial cluster.

Sources: initdb(1), postgres(1).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from broker.embedded.account import Account, give, launch_argv, maker_account
from broker.embedded.binaries import PostgresBinaries
from broker.embedded.server import StartFailedError, plain_env
from broker.embedded.state import write_private

_INITDB = ("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256")
# Single-user mode needs no server and no login as superuser. -j: statements end at empty lines.
_SINGLE = ("--single", "-j", "-c", "password_encryption=scram-sha-256", "-D")


def make_cluster(
    binaries: PostgresBinaries,
    *,
    data: Path,
    account: Account | None,
    superuser: str,
    password: str,
    sql: str = "",
) -> None:
    """Create a cluster in the folder `data`, owned by `account`, with a superuser, and run `sql` in it.

    Statements in `sql` end at empty lines. If this process is root, a named account creates the cluster,
    because initdb requires that. The folder is then given to `account`. Raises `StartFailedError` with a
    program's output.
    """
    maker, unfinished = maker_account(), data.parent.with_name(f"{data.parent.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    give(unfinished, maker)
    _initdb(binaries, unfinished, superuser, password, maker)
    if sql:
        _run([str(binaries.postgres), *_SINGLE, str(unfinished), "template1"], maker, given=sql)
    give(unfinished, account)
    unfinished.rename(data)


def _initdb(
    binaries: PostgresBinaries, target: Path, superuser: str, password: str, maker: Account | None
) -> None:
    password_file = target.with_suffix(".password")
    write_private(password_file, password)
    if maker:
        os.chown(password_file, maker.uid, maker.gid)
    login = [f"--pwfile={password_file}", f"--username={superuser}"]
    try:
        _run([str(binaries.initdb), "-D", str(target), *_INITDB, *login], maker)
    finally:
        password_file.unlink()


def _run(argv: Sequence[str], account: Account | None, *, given: str = "") -> None:
    command = launch_argv(argv, account=account, death_signal=signal.SIGKILL)
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, cwd="/", env=plain_env(), check=False
    )
    if done.returncode != 0 or "ERROR:" in done.stderr:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise StartFailedError(
            f"{Path(argv[0]).name} failed with status {done.returncode}. Its output:\n{said}"
        )
