"""Run groups of tests one after another, each as its tests need it, and print what each took.

`python -m tests.run quick smoke` runs these groups; a word that is no group, such as `ssh`, chooses tests by name, as pytest's
`-k` does. Without a group, all are run. Groups: `tests/tiers.py`. The status is 1 if a test failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

TOGETHER = ("-n", "2", "--dist", "loadfile")
# Tests that measure time are alone on the machine, and so are the few that stand for a whole.
WAYS: dict[str, tuple[str, ...]] = {
    "quick": ("-n", "2", "--dist", "worksteal"),
    "smoke": (),
    "timing": (),
    "processes": TOGETHER,
    "browsers": TOGETHER,
    "slow": TOGETHER,
    "guides": TOGETHER,
}


def main(words: list[str]) -> int:
    """Run what the words name, and return the exit status."""
    groups = [word for word in words if word in WAYS] or list(WAYS)
    names = [word for word in words if word not in WAYS]
    failed, took = [], {}
    for group in groups:
        began = time.monotonic()
        if not _passes(group, names):
            failed.append(group)
        took[group] = time.monotonic() - began
    print("\n" + "".join(f"{group:<10} {_span(took[group])}\n" for group in groups), end="")
    print(f"{'in all':<10} {_span(sum(took.values()))}{', failed: ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


def _passes(group: str, names: list[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-m", group, *WAYS[group], "--durations", "10"]
    if names:
        command += ["-k", " or ".join(names)]
    if os.environ.get("SHUFFLE"):
        command.append("--random-order")
    print(f"\n{group}: {' '.join(command[1:])}", flush=True)
    status = subprocess.run(command, check=False).returncode
    return status == 0 or (bool(names) and status == pytest.ExitCode.NO_TESTS_COLLECTED)


def _span(seconds: float) -> str:
    return f"{int(seconds) // 60:3} min {int(seconds) % 60:02} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
