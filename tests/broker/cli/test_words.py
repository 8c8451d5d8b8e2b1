"""The words of the terminal for states, and the commands that take them."""

import pytest

from broker.cli.main import run_command
from broker.cli.screen import spoken
from broker.cli.shell import Shell
from sessions_app.models import EndReason, GrantState, RunState
from sessions_app.models.grant import why_over
from sessions_app.web.display.states import GRANT, RUN


@pytest.mark.parametrize("state", RunState)
def test_the_terminal_and_the_pages_have_the_same_word_for_the_state_of_a_run(state):
    assert spoken(state) == RUN[state].word.lower()


@pytest.mark.parametrize("state", GrantState)
def test_the_terminal_and_the_pages_have_the_same_word_for_the_state_of_a_grant(state):
    assert spoken(state) == GRANT[state].word.lower()


@pytest.mark.parametrize("reason", EndReason)
def test_the_terminal_and_the_pages_have_the_same_words_for_the_end_of_a_grant(reason):
    assert spoken(reason) == why_over(reason)


def test_a_held_command_is_denied_by_its_number(monkeypatch, capsys):
    class Wire:
        def post(self, path, body):
            assert (path, body) == ("/runs/42/decision", {"allow": False})
            return {"id": 42, "state": "hold_denied"}

    monkeypatch.setattr(Shell, "wire", Wire())
    assert run_command(["deny", "42"]) == 0
    assert capsys.readouterr().out == "Run 42: denied by a second person.\n"
    assert run_command(["deny", "42", "--comment", "no"]) == 2


def test_a_held_command_is_allowed_several_times(monkeypatch, capsys):
    class Wire:
        def post(self, path, body):
            assert (path, body) == ("/runs/42/decision", {"allow": True, "times": 3})
            return {"id": 42, "state": "held"}

    monkeypatch.setattr(Shell, "wire", Wire())
    assert run_command(["allow", "42", "--times", "3"]) == 0
    assert run_command(["allow", "42", "--times", "51"]) == 2


def test_an_approval_is_withdrawn_by_its_reference(monkeypatch, capsys):
    class Wire:
        def delete(self, path):
            assert path == "/requests/REQ-12/verdicts"
            return {"ref": "REQ-12"}

    monkeypatch.setattr(Shell, "wire", Wire())
    assert run_command(["undo", "req-12"]) == 0
    assert capsys.readouterr().out == "Approval of REQ-12 withdrawn.\n"


def test_a_grant_is_suspended_with_a_reason_and_resumed(monkeypatch, capsys):
    posted = []

    class Wire:
        def post(self, path, body):
            posted.append((path, body))
            return {"ref": "GR-7F3K"}

    monkeypatch.setattr(Shell, "wire", Wire())
    assert run_command(["suspend", "gr-7f3k", "--reason", "Wrong host"]) == 0
    assert run_command(["resume", "GR-7F3K"]) == 0
    assert posted == [
        ("/grants/GR-7F3K/suspend", {"note": "Wrong host"}),
        ("/grants/GR-7F3K/release", {"note": ""}),
    ]
    assert capsys.readouterr().out.startswith("GR-7F3K is suspended. Running commands continue.\n")
