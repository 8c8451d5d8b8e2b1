"""Deadlines in tests grow by what the machine takes, and by nothing that the code under test takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque

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
_HOLDS_THE_INTERPRETER = """
import re, time
from tests.support import pace
time.sleep(0.05)
began, used = time.monotonic(), time.process_time()
re.match(r"(a+)+$", "a" * 24 + "b")
used, took = time.process_time() - used, time.monotonic() - began
print(used, took, pace.allow(took) - took)
"""


@pytest.fixture
def stalls(monkeypatch):
    """Stalls as they were seen, the oldest first, each with how many seconds ago it ended."""

    def were(*seen: tuple[float, float]) -> None:
        now = 1000.0
        monkeypatch.setattr(pace, "_seen", lambda: (now, [(now - ago, lost) for ago, lost in seen]))

    return were


def test_on_a_quiet_machine_a_deadline_is_what_it_says(stalls):
    stalls()
    assert pace.allow(2) == 2
    assert pace.stalled(60) == 0


def test_a_stall_within_the_wait_lengthens_it_and_one_before_it_does_not(stalls):
    stalls((20, 5), (1, 3))
    assert pace.allow(2) == 5


def test_a_stall_that_is_within_the_wait_because_of_a_later_one_counts_as_well(stalls):
    stalls((4, 1), (1, 3))
    assert pace.allow(2) == 6


def test_the_longest_stall_is_told_of_the_time_asked_for(stalls):
    stalls((20, 5), (3, 0.5), (1, 0.25))
    assert pace.stalled(10) == 0.5


def test_a_stall_that_is_not_over_counts(monkeypatch):
    monkeypatch.setattr(pace, "_stalls", deque())
    monkeypatch.setattr(pace, "_overdue", lambda: 3.0)
    assert pace.allow(2) >= 5


def test_what_comes_before_its_deadline_or_long_after_it_is_not_in_time(stalls):
    stalls()
    pace.assert_in_time(1.9, most=2)
    for late in (-0.2, 2.1):
        with pytest.raises(AssertionError):
            pace.assert_in_time(late, most=2)


def test_a_stall_lets_a_short_grant_last_longer_up_to_a_limit(stalls):
    stalls((1.0, 1.5))
    assert pace.unhurried({"duration": 3}) == {"duration": 5}
    assert pace.unhurried({"duration": 3}, most=4) == {"duration": 4}
    assert pace.unhurried({"duration": 3600}) == {"duration": 3600}
    assert pace.unhurried({}) == {}


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


@pytest.mark.processes
def test_code_that_holds_the_interpreter_does_not_count_as_a_stall():
    said = subprocess.check_output([sys.executable, "-c", _HOLDS_THE_INTERPRETER], cwd=ROOT, text=True)
    used, took, lost = map(float, said.split())
    assert used > 0.1
    assert lost <= took - used + 0.05
