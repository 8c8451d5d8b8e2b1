"""Free ports, for what begins to listen later."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from broker.demo import ports
from tests.support.gateway import ROOT


def claims(*wanted: int) -> list[str]:
    """Whether another process may claim each port."""
    program = f"from broker.demo import ports; print(*map(ports._claim, {wanted}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_kernel_gives_a_free_port_to_nobody_by_itself():
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    lowest, highest = map(int, text.split())
    assert lowest > 12_000
    assert not any(lowest <= ports.free_port() <= highest for _ in range(100))


@pytest.mark.processes
def test_no_other_process_is_given_a_port_before_somebody_listens_on_it():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        assert claims(ports.free_port(), listener.getsockname()[1]) == ["False", "False"]
