"""Free ports, for what begins to listen later."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from broker.demo import ports
from tests.environment import ROOT

# More than one block has.
MANY = 120


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in another process."""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_kernel_gives_a_free_port_to_nobody_by_itself():
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    lowest, highest = map(int, text.split())
    assert lowest > 12_000
    assert not any(lowest <= ports.free_port() <= highest for _ in range(MANY))


def test_no_port_is_given_twice():
    assert len({ports.free_port() for _ in range(MANY)}) == MANY


def test_a_port_that_somebody_listens_on_is_not_given(monkeypatch):
    free, taken = ports.free_port(), ports.free_port()
    monkeypatch.setattr(ports, "_ports", [free, taken])
    with socket.create_server(("127.0.0.1", taken)):
        assert ports.free_port() == free


@pytest.mark.processes
def test_no_other_process_is_given_a_port_of_the_same_block():
    first = ports.free_port() // 100 * 100
    done = python(
        f"from broker.demo import ports; ports._range = lambda: range({first}, {first + 100});"
        " ports.free_port()"
    )
    assert "OSError: no port is free on 127.0.0.1" in done.stderr


@pytest.mark.processes
def test_a_fork_is_given_ports_of_another_block():
    done = python(
        "import os; from broker.demo.ports import free_port; free_port(); os.fork() and os.wait(); "
        "print(free_port() // 100)"
    )
    assert len(set(done.stdout.split())) == 2
