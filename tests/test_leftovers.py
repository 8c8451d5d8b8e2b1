"""A run terminates processes that its tests left running, and reports a failure once."""

import os
import secrets
import subprocess

import pytest

from tests.environment import ROOT
from tests.support.leftovers import MARK, chosen_pids, started_with

pytestmark = pytest.mark.processes
pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest on a file, with this plugin alone."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(text: str) -> pytest.RunResult:
        pytester.makepyfile(text)
        return pytester.runpytest_subprocess("-p", "tests.support.leftovers")

    return run


TEARDOWN = """
import pytest

@pytest.fixture
def used():
    yield
    raise RuntimeError("the pipe is closed")

def test_it(used):
    assert False
"""


def test_what_is_raised_at_the_teardown_of_a_failed_test_is_no_other_failure(run):
    result = run(TEARDOWN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Raised at teardown*", "E *RuntimeError: the pipe is closed"])


LEAVES = """
import os, subprocess

def test_it():
    subprocess.run(["setsid", "--fork", "sleep", "600"], env={**os.environ, "LEFT": "TOKEN"})
"""


def test_what_a_test_left_running_is_ended_and_what_another_run_started_is_not(run):
    token = secrets.token_hex(8)
    with subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: "another"}) as another:
        run(LEAVES.replace("TOKEN", token)).assert_outcomes(passed=1)
        assert another.poll() is None
        another.kill()
    assert not list(chosen_pids(started_with("LEFT", token)))
