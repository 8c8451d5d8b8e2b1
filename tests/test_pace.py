"""Deadlines in tests are extended by stalls of the machine, and by nothing that the code under test does."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.environment import ROOT
from tests.support import pace

_STOPPED = """
import time
from tests.support import pace
print(flush=True)
input()
time.sleep(0.02)
print(pace.allow(60) - 60, pace.stalled(60))
"""


@pytest.fixture
def stalls(monkeypatch):
    """Set the observed stalls, oldest first, each with how many seconds ago it ended."""

    def were(*seen: tuple[float, float]) -> None:
        now = 1000.0
        monkeypatch.setattr(pace, "_seen", lambda: (now, [(now - ago, lost) for ago, lost in seen]))

    return were


def test_a_stall_within_the_wait_lengthens_it_and_one_before_it_does_not(stalls):
    stalls((20, 5), (1, 3))
    assert pace.allow(2) == 5


def test_what_comes_before_its_deadline_or_long_after_it_is_not_in_time(stalls):
    stalls()
    pace.assert_in_time(1.9, most=2)
    for late in (-0.2, 2.1):
        with pytest.raises(AssertionError):
            pace.assert_in_time(late, most=2)


@pytest.mark.processes
def test_a_process_that_is_stopped_finds_that_it_stalled():
    with subprocess.Popen(
        [sys.executable, "-c", _STOPPED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGCONT)
        said, _ = process.communicate("\n")
    assert all(float(seconds) > 0.4 for seconds in said.split())
