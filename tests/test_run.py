"""A failed timing test is run once more; one that fails again, or too often, fails the run."""

import json

import pytest

from tests import run, unsteady
from tests.environment import ROOT

pytestmark = pytest.mark.processes

CONFIGURATION = """
[pytest]
addopts = -p tests.tiers
markers = quick
    timing
    processes
"""
NO_STALL_COUNTS = """
from tests import tiers
tiers.STALL_SECONDS = 600
"""
TESTS = """
import os, pathlib, signal, subprocess, sys, time
import pytest

def passes_from(time):
    count = pathlib.Path("count.txt")
    count.write_text(count.read_text() + "." if count.exists() else ".")
    assert len(count.read_text()) >= time

@pytest.mark.timing
def test_steady(): ...
"""


@pytest.fixture
def outcome(tmp_path, monkeypatch, capfd):
    """Run given tests as the group `timing` or another; return the status, and the output after pytest's."""
    (tmp_path / "pytest.ini").write_text(CONFIGURATION)
    (tmp_path / "conftest.py").write_text(NO_STALL_COUNTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)

    def outcome(tests: str, *words: str) -> tuple[int, str]:
        (tmp_path / "count.txt").unlink(missing_ok=True)
        (tmp_path / "test_some.py").write_text(TESTS + tests)
        status = run.main(list(words or ("timing",)))
        return status, capfd.readouterr().out

    return outcome


def kept(tmp_path) -> list[list[str]]:
    """Return the unsteady tests, by run."""
    file = tmp_path / "state" / "stint-tests" / "unsteady.json"
    return [one["unsteady"] for one in json.loads(file.read_text())] if file.exists() else []


UNSTEADY = """
@pytest.mark.timing
def test_unsteady(): passes_from(time=2)
"""
WRONG = """
@pytest.mark.timing
def test_wrong(): assert False
"""


def test_what_fails_twice_fails(outcome, tmp_path):
    status, said = outcome(UNSTEADY + WRONG)
    assert status == 1
    assert "failed: timing" in said
    assert "unsteady: 1\n  test_some.py::test_unsteady\nin all" in said
    assert kept(tmp_path) == [["test_some.py::test_unsteady"]]


def test_what_is_unsteady_for_the_second_time_fails(outcome, tmp_path):
    unsteady.again_unsteady(["test_some.py::test_unsteady"])
    status, said = outcome(UNSTEADY)
    assert status == 1
    assert "unsteady for the second time in 5 runs: 1\n  test_some.py::test_unsteady\nin all" in said
    assert "failed: timing" in said


@pytest.mark.parametrize(
    "broken",
    [
        "raise RuntimeError('not collected')",
        "raise KeyboardInterrupt",
        "@pytest.mark.timing\ndef test_crashes(): os.kill(os.getpid(), signal.SIGKILL)",
    ],
    ids=["collection", "interrupt", "crash"],
)
def test_a_run_that_was_broken_off_fails_and_is_not_repeated(outcome, tmp_path, broken):
    status, said = outcome(broken)
    assert status == 1
    assert said.count("timing: -m pytest") == 1
    assert kept(tmp_path) == []
