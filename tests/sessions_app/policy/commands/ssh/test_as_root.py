"""Commands that run as root: what sudoers can say of them, and what approvers read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.kinds import covers
from sessions_app.policy.commands.ssh.as_root import root_lines
from sessions_app.policy.commands.ssh.decide import Allowed, compile_open, decide, describe
from sessions_app.policy.commands.ssh.lint import lint
from tests.sessions_app.policy.commands.conftest import make


def lines_of(run: str, **where) -> list[str]:
    (command,) = compile_open(make({"run": run, "as": "root", "where": where})).commands
    return [line.arguments for line in root_lines(command.words, command.types)]


@pytest.mark.parametrize(
    ("run", "where", "lines"),
    [
        ("systemctl restart nginx", {}, ["systemctl restart nginx"]),
        (
            "systemctl restart {u}",
            {"u": {"choice": ["nginx", "app@1"]}},
            ["systemctl restart nginx", "systemctl restart app@1"],
        ),
        ("act {u} {u}", {"u": {"choice": ["a", "b"]}}, ["act a a", "act b b"]),
        ("act k=a,b:c", {}, [r"act k\=a\,b\:c"]),
        ("tail -n {n} a.log", {"n": {"int": [1, 20]}}, ["^tail -n ([1-9]|1[0-9]|20) a[.]log$"]),
        ("act {v}", {"v": {"pattern": "v[0-9]{1,3}[.][0-9]+"}}, [r"^act (v[0-9]{1\,3}[.][0-9]+)$"]),
    ],
)
def test_a_command_is_stated_in_sudoers_exactly(run, where, lines):
    assert lines_of(run, **where) == lines


@pytest.mark.parametrize(
    ("run", "where", "why"),
    [
        ("act 'a b'", {}, "contains ` `"),
        ("act 'a*'", {}, "contains `*`"),
        ("act ''", {}, "has an empty word"),
        ("cat {p}", {"p": {"path": "/var/log"}}, "leaves {p} open"),
        ("act {v}", {"v": {"pattern": "a.c"}}, "leaves {v} open"),
        ("act {v}", {"v": {"pattern": r"\d+"}}, "leaves {v} open"),
        ("act {n} {n}", {"n": {"int": [1, 9]}}, "uses {n} twice"),
    ],
)
def test_what_sudoers_can_not_state_is_not_published(run, where, why):
    found = lint(make({"run": run, "as": "root", "where": where}))
    (error,) = [one for one in found if one.code == "as_root"]
    assert error.severity == "error"
    assert why in error.message


def test_what_runs_as_root_has_a_namespace_of_its_own():
    asked = {"run": "uptime", "as": "root", "effect": "read"}
    (command,) = compile_open(make(asked, contain="group")).commands
    assert command.contain == "pidns"
    found = lint(make({**asked, "contain": "group"}))
    # There is no way out of it, so no warning offers one.
    assert {one.code: one.severity for one in found} == {"as_root": "error", "no_examples": "warning"}


@given(low=st.integers(-3000, 3000), more=st.integers(0, 5000), value=st.integers(-9000, 9000))
def test_numbers_are_those_between_the_bounds(low, more, value):
    (line,) = lines_of("act {n}", n={"int": [low, low + more]})
    assert bool(re.fullmatch(line, f"act {value}")) == (low <= value <= low + more)
    assert not re.fullmatch(line, f"act 0{value}")


def test_a_line_that_could_run_as_the_account_does_not_run_as_root():
    compiled = compile_open(make({"run": "uptime", "as": "root"}, "uptime"))
    found = decide(compiled, "uptime")
    assert isinstance(found, Allowed)
    assert not found.as_root
    assert [view.as_root for view in describe(compiled)] == [True, False]


def test_no_part_of_a_grant_runs_as_root_what_the_grant_does_not():
    root, plain = compile_open(make({"run": "uptime", "as": "root"})), compile_open(make("uptime"))
    assert covers(plain, root) == "`uptime` would run as root"
    assert covers(root, plain) is None
