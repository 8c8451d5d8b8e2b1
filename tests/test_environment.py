"""Tests run alike however they were started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.environment import ROOT

pytestmark = pytest.mark.processes

_ASK = """
import subprocess, tests.environment
print(subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True, check=True).stdout)
"""


def _ignore() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def test_what_is_started_by_tests_in_the_background_ignores_no_signal():
    words = [sys.executable, "-c", _ASK]
    # Its own PostgreSQL starts as well: it is what the tests themselves begin with.
    done = subprocess.run(
        words, preexec_fn=_ignore, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    ignored = int(done.stdout.split()[1], 16)
    assert not [n for n in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP) if ignored & 1 << (n - 1)]
