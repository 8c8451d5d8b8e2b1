"""The questions to a target about the commands of command sets, answered by the shells that targets have."""

import subprocess
from pathlib import Path

import pytest

from sessions_app.connectors.ssh.check_commands import parse_answers
from sessions_app.connectors.ssh.target import read_script

pytestmark = pytest.mark.processes

REACHES, FAILS = "echo degraded", "echo offline"


@pytest.fixture
def answers(sh, monkeypatch):
    """Return the numbers of the questions whose answer is no. sudo allows `restart *` alone."""
    program = Path(sh).with_name("sudo")
    program.write_text('#!/bin/sh\necho asked\n[ "$*" = "-n -l /stint restart *" ]\n')
    program.chmod(0o755)
    Path(sh).with_name("only-here").symlink_to(program)

    def answers(*questions: str, ask: str = REACHES) -> set[int] | None:
        argv = [sh, "-c", read_script("answer.sh"), "stint", ask, "/stint", *questions]
        done = subprocess.run(argv, input="unread", capture_output=True, check=True, text=True)
        assert done.stderr == ""
        return parse_answers(done.stdout)

    return answers


def test_programs_are_looked_up_on_the_path_of_the_account_or_of_root(answers):
    assert answers("pcat", "rcat", "p/bin/cat", "pno such program", "ponly-here", "ronly-here") == {3, 5}


def test_sudo_is_asked_for_exactly_the_words(answers):
    assert answers("srestart *", "srestart", "srestart x") == {1, 2}


def test_a_way_has_to_reach_systemd_if_the_account_does(answers):
    assert answers(f"w{REACHES}", f"w{FAILS}", f"W{REACHES}", f"W{FAILS}", "wcat; echo running") == {1, 3}
    assert answers(f"w{FAILS}", f"W{FAILS}", ask=FAILS) == {1}


def test_without_questions_none_is_answered_with_no(answers):
    assert answers() == set()
