"""`python -m tests.faults MINUTES SEED`: run the stack, inject faults, and judge the result."""

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

INSIDE = "STINT_FAULTS_INSIDE"


def main(argv: list[str]) -> int:
    """Return 0 if every promise was kept, 1 if not, 2 if the run can't start on this machine."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=5)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument(
        "--only", default="", help="break only what has this in its name; 'nothing' breaks nothing"
    )
    parser.add_argument("--people", type=int, default=6, help="how many have one grant after the other")
    parser.add_argument(
        "--keep", type=Path, help="a folder for the logs of all processes and a dump of the database"
    )
    options = parser.parse_args(argv)
    if INSIDE not in os.environ:
        return _in_namespaces(argv)
    if child := os.fork():
        return _reap_until_over(child)
    with tempfile.TemporaryDirectory(prefix="stint-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        return _run(folder, options)


def _in_namespaces(argv: list[str]) -> int:
    """Run this again in its own network, mount and process namespaces, which end with it."""
    if os.geteuid() != 0:
        print("make faults needs root, for namespaces and sshd. Run it again as root.", file=sys.stderr)
        return 2
    spaces = [
        "--mount",
        "--propagation",
        "private",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    command = ["unshare", *spaces, sys.executable, "-m", "tests.faults", *argv]
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode


def _reap_until_over(child: int) -> int:
    """Act as the namespace's process 1, and return the exit status of the run.

    Orphans of commands would remain as zombies otherwise, and slow every scan of /proc.
    """
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def _run(folder: Path, options: argparse.Namespace) -> int:
    _prepare(folder)
    from tests.faults.run import run
    from tests.faults.stack import stack

    with stack(folder, people=options.people) as made:
        status = run(made, minutes=options.minutes, seed=options.seed, only=options.only)
        if options.keep:
            made.keep(options.keep)
        return status


def _prepare(folder: Path) -> None:
    """Keep the test helpers from starting a server: this run has its own, whose address is not known yet."""
    (folder / "postgres_passwords.json").write_text(json.dumps({"stint_app": "", "stint_owner": ""}))
    os.environ["STINT_TEST_SHARED"] = str(folder)
    importlib.import_module("tests.environment")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
