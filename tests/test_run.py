"""What failed once among the tests that measure time is run once more; what fails again, or too often, fails the run."""

from __future__ import annotations

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
    """Run tests of one's own as the group `timing` or another: the status, and what was printed after pytest."""
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
    """Which tests were unsteady, by run."""
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


def test_what_passes_is_run_once(outcome, tmp_path):
    status, said = outcome("")
    assert status == 0
    assert said.count("timing: -m pytest") == 1
    assert "unsteady" not in said
    assert kept(tmp_path) == [[]]


def test_what_fails_and_then_passes_is_unsteady_and_named_at_the_end(outcome, tmp_path):
    status, said = outcome(UNSTEADY)
    assert status == 0
    assert "1 failed, 1 passed" in said
    assert "collected 1 item\n" in said.rpartition("--last-failed")[2], "another one was run again as well"
    assert "unsteady: 1\n  test_some.py::test_unsteady\nin all" in said
    assert kept(tmp_path) == [["test_some.py::test_unsteady"]]


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


def test_without_a_place_to_keep_them_a_run_says_so_and_goes_on(outcome, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    status, said = outcome(UNSTEADY)
    assert status == 0
    assert "can't be kept: [Errno 20] Not a directory" in said
    assert "unsteady: 1\n" in said


def test_a_run_of_chosen_tests_is_not_kept(outcome, tmp_path):
    status, said = outcome(UNSTEADY + WRONG, "timing", "unsteady")
    assert status == 0
    assert "unsteady: 1\n  test_some.py::test_unsteady\nin all" in said
    assert kept(tmp_path) == []


def test_no_test_of_the_chosen_names_is_no_failure(outcome):
    assert outcome("", "timing", "nothing")[0] == 0


def test_a_failure_to_set_up_or_to_tear_down_is_a_failure_as_any_other(outcome):
    status, said = outcome("""
@pytest.fixture
def before(): passes_from(time=2)

@pytest.fixture
def after():
    yield
    passes_from(time=4)

@pytest.mark.timing
def test_before(before): ...

@pytest.mark.timing
def test_after(after): ...
""")
    assert status == 0
    assert "unsteady: 2\n  test_some.py::test_after\n  test_some.py::test_before\nin all" in said


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


def test_nothing_of_another_group_is_run_again(outcome):
    status, said = outcome(
        """
@pytest.mark.processes
def test_of_processes(): passes_from(time=2)
""",
        "processes",
    )
    assert status == 1
    assert said.count(": -m pytest") == 1


def test_what_failed_while_the_machine_stalled_is_inconclusive_and_not_unsteady(outcome, tmp_path):
    (tmp_path / "conftest.py").unlink()
    status, said = outcome("""
@pytest.mark.timing
def test_stalled():
    subprocess.Popen([
        sys.executable, "-c",
        "import os, signal, sys, time; n = int(sys.argv[1]);"
        "os.kill(n, signal.SIGSTOP); time.sleep(0.5); os.kill(n, signal.SIGCONT)",
        str(os.getpid()),
    ]).wait()
    passes_from(time=2)
""")
    assert status == 0
    assert "inconclusive: the machine stalled for 0." in said
    assert "inconclusive at first, as the machine stalled: 1\n  test_some.py::test_stalled\nin all" in said
    assert kept(tmp_path) == [[]]
