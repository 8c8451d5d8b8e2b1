"""Run groups of tests one after another, each with its own options, and print their durations.

`python -m tests.run quick smoke` runs these groups; a word that is not a group, such as `ssh`, selects tests
by name, as pytest's `-k` does. Without a group, all are run. Groups: `tests/tiers.py`. The status is 1 if a
test failed.

A failed test of the group `timing` runs once more, after all others. If it passes then, it is unsteady, which
is not a failure the first time: `tests/unsteady.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.tiers import INCONCLUSIVE
from tests.unsteady import RUNS, again_unsteady

TOGETHER = ("-n", "2", "--dist", "loadfile")
# Tests that measure time run alone on the machine, and so do the few that represent a whole group.
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
    """Run the groups and tests that the arguments name, and return the exit status."""
    groups = [word for word in words if word in WAYS] or list(WAYS)
    names = [word for word in words if word not in WAYS]
    failed, took, remarks = [], {}, {}
    for group in groups:
        began = time.monotonic()
        if group == "timing":
            status, remarks = _timing(names)
        else:
            status = _pytest(group, names)
        if status and not (names and status == pytest.ExitCode.NO_TESTS_COLLECTED):
            failed.append(group)
        took[group] = time.monotonic() - began
    print("\n" + "".join(f"{group:<10} {_span(took[group])}\n" for group in groups), end="")
    for remark, tests in remarks.items():
        print("\n  ".join([f"{remark}: {len(tests)}", *tests]))
    print(f"{'in all':<10} {_span(sum(took.values()))}{', failed: ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


def _pytest(group: str, names: list[str], *options: str) -> int:
    command = [sys.executable, "-m", "pytest", "-m", group, *WAYS[group], "--durations", "10", *options]
    if names:
        command += ["-k", " or ".join(names)]
    if os.environ.get("SHUFFLE"):
        command.append("--random-order")
    print(f"\n{group}: {' '.join(command[1:])}", flush=True)
    return subprocess.run(command, check=False).returncode


def _timing(names: list[str]) -> tuple[int, dict[str, list[str]]]:
    """Run the group, and its failed tests once more. Return the status, and the tests to report by kind.

    An incomplete run of pytest, because of a crash or a collection error, fails immediately. Only runs of the
    whole group count toward the last five.
    """
    with tempfile.TemporaryDirectory() as cache:
        options = ("-o", f"cache_dir={cache}")
        status = _pytest("timing", names, *options)
        failed, inconclusive = _cached(cache, "cache/lastfailed"), _cached(cache, INCONCLUSIVE)
        if status == pytest.ExitCode.TESTS_FAILED:
            status = _pytest("timing", names, *options, "--last-failed", "--last-failed-no-failures", "none")
        passed = failed - _cached(cache, "cache/lastfailed")
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return status, {}
    unsteady = sorted(passed - inconclusive)
    again = [] if names else _again(unsteady)
    remarks = {
        "unsteady": unsteady,
        "inconclusive at first, as the machine stalled": sorted(passed & inconclusive),
        f"failed, as they are unsteady for the second time in {RUNS} runs": again,
    }
    return status or int(bool(again)), {remark: tests for remark, tests in remarks.items() if tests}


def _again(unsteady: list[str]) -> list[str]:
    try:
        return again_unsteady(unsteady)
    except OSError as error:
        print(f"Which tests are unsteady can't be kept: {error}")
        return []


def _cached(cache: str, key: str) -> set[str]:
    """Return the test names that pytest's cache has under a key."""
    file = Path(cache, "v", key)
    return set(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else set()


def _span(seconds: float) -> str:
    return f"{int(seconds) // 60:3} min {int(seconds) % 60:02} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
