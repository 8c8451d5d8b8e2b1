"""Who loads early waits at the gate until what it needs is there."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from broker import gate


def test_nobody_waits_who_was_told_of_no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gate.VARIABLE, raising=False)
    gate.wait()


def test_whoever_comes_before_the_opening_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed = gate.Gate(tmp_path / "closed")
    closed.close()
    monkeypatch.setenv(gate.VARIABLE, str(closed.path))
    waiting = threading.Thread(target=gate.wait)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    closed.open()
    waiting.join(5)
    assert not waiting.is_alive()
    gate.wait()


def test_a_gate_that_a_dead_start_left_closed_is_opened_like_any_other(tmp_path: Path) -> None:
    left = gate.Gate(tmp_path / "closed")
    left.close()
    left.close()
    left.open()
    left.open()
    assert not left.path.exists()
