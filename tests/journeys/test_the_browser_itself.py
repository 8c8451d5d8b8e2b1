"""The browser of the tests takes no time from what they look at."""

from __future__ import annotations

import os
from pathlib import Path

from broker.demo.sshd import _children


def test_none_of_its_processes_has_a_higher_priority_than_others(chromium):
    chromium.new_page().close()
    browser = [pid for pid in _children(os.getpid()) if _runs_chromium(pid)]
    assert len(browser) > 2
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in browser} == {own}


def _runs_chromium(pid: int) -> bool:
    return b"/chromium" in Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
