"""The words of the terminal for states, and the commands that take them."""

import pytest

from broker.cli.errors import CliError, Exit
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


HOLDS = [
    {"id": 7, "digest": "a", "alike": [8], "holder": "robot", "grant": "GR-1", "target": "desk", "line": "x"},
    {"id": 8, "digest": "b", "alike": [7], "holder": "robot", "grant": "GR-1", "target": "desk", "line": "y"},
    {"id": 9, "digest": "c", "alike": [], "holder": "robot", "grant": "GR-1", "target": "desk", "line": "z"},
]


@pytest.fixture
def several(monkeypatch):
    """The bodies of decisions on several commands. Run 9 was withdrawn meanwhile."""
    posted = []

    class Wire:
        def get(self, path):
            assert path == "/holds"
            return {"results": HOLDS}

        def post(self, path, body):
            assert path == "/holds/decision"
            posted.append(body)
            word = "allowed" if body["allow"] else "denied"
            outcomes = [
                {"run": 9, "outcome": "not_decided", "message": "It was withdrawn."}
                if one["run"] == 9
                else {"run": one["run"], "outcome": word, "message": ""}
                for one in body["holds"]
            ]
            decided = sum(not one["message"] for one in outcomes)
            return {"decided": decided, "results": outcomes}

    monkeypatch.setattr(Shell, "wire", Wire())
    return posted


def read(*numbers):
    return [{"run": row["id"], "digest": row["digest"]} for row in HOLDS if row["id"] in numbers]


def test_several_held_commands_are_decided_by_their_numbers(several, capsys):
    assert run_command(["allow", "8", "9", "--times", "2"]) == 1
    assert several == [{"allow": True, "times": 2, "holds": read(8, 9)}]
    assert capsys.readouterr().out == "Run 8: allowed.\nRun 9: not decided: It was withdrawn.\n"
    assert run_command(["deny", "7", "8"]) == 0
    assert several[1] == {"allow": False, "holds": read(7, 8)}


def test_commands_that_wait_alike_are_decided_once_the_list_is_confirmed(several):
    assert run_command(["allow", "7", "--alike"]) == 2
    assert several == []
    assert run_command(["allow", "7", "--alike", "--yes"]) == 0
    assert several == [{"allow": True, "holds": read(7, 8)}]


def test_a_command_that_does_not_wait_is_named_and_nothing_is_decided(several, capsys):
    assert run_command(["deny", "7", "10"]) == 1
    assert "Run 10 doesn't wait for your decision." in capsys.readouterr().err
    assert run_command(["deny", "REQ-1", "7"]) == 2
    assert several == []


def test_what_was_read_before_a_held_command_is_shown(monkeypatch, capsys):
    result = {"run": 3, "line": "read_ticket {}", "at": "2026-11-28T02:00:00Z", "size": 120, "rows": None}
    source = {"argument": "to", "field": "read_ticket.email"}

    class Wire:
        def get(self, path):
            if path != "/runs/7/earlier":
                raise CliError("Not found.", status=Exit.NOT_FOUND)
            return {"run": 7, "results": [{**result, "untrusted": True, "sources": [source]}], "more": 14}

    monkeypatch.setattr(Shell, "wire", Wire())
    assert run_command(["holds", "7"]) == 0
    shown = capsys.readouterr().out
    assert (
        "read_ticket {}  (120 bytes, can contain text from outsiders, to is its read_ticket.email)" in shown
    )
    assert "and 14 more" in shown


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
