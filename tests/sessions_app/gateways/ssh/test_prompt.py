"""The command prompt, through a pseudo-terminal as a person uses it."""

import contextlib
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator

import pytest

from sessions_app.models import CommandRun
from tests.support.pace import allow
from tests.support.servers.gateway import new_tag, on_target
from tests.support.waits import eventually
from tests.support.world.acts import revoke


class Terminal:
    """A person's terminal, running the client."""

    def __init__(self, words: list[str]) -> None:
        self.master, child = pty.openpty()
        self.client = subprocess.Popen(words, stdin=child, stdout=child, stderr=child, start_new_session=True)
        os.close(child)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read(self) -> None:
        if select.select([self.master], [], [], 0.05)[0]:
            with contextlib.suppress(OSError):
                self.seen += os.read(self.master, 65536).decode("utf-8", "replace")

    def wait_for(self, pattern: str, *, within: float = 10) -> re.Match[str]:
        """Read until the pattern matches, and discard everything up to its end."""
        began = time.monotonic()
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() - began < allow(within), f"no {pattern!r} in {self.seen!r}"
            self.read()
        self.seen = self.seen[found.end() :]
        return found

    def close(self) -> None:
        self.client.kill()
        self.client.wait()
        os.close(self.master)


ASKS = r"GR-\w+ web-1 \S+( \S+)?> "


@pytest.fixture
def grant(place):
    return place.grant()


@pytest.fixture
def terminal(place, grant) -> Iterator[Terminal]:
    opened = Terminal(place.command(options=("-tt",)))
    try:
        opened.wait_for(ASKS)
        yield opened
    finally:
        opened.close()


def test_each_line_is_run_alone_and_shown(terminal, grant):
    terminal.type("echo restart nginx\r")
    terminal.wait_for(r"restart nginx\r\n.*restart nginx\r\n")
    terminal.wait_for(ASKS)
    terminal.type("test status 3\r")
    terminal.wait_for(r"\(exit status 3\)")
    terminal.wait_for(ASKS)
    runs = CommandRun.objects.filter(grant=grant).order_by("pk")
    eventually(lambda: [run.state for run in runs.all()] == ["done", "done"])
    assert len({run.session_id for run in runs.all()}) == 1


def test_a_line_outside_the_grant_is_refused_with_the_nearest(terminal):
    terminal.type("echo restart sshd; id\r")
    terminal.wait_for("not allowed: ")
    terminal.wait_for(ASKS)
    terminal.type("echo restart sshd\r")
    terminal.wait_for("Nearest: echo restart nginx")
    terminal.wait_for(ASKS)


def test_help_lists_what_is_allowed_and_until_when(place, grant, terminal):
    terminal.type("help\r")
    terminal.wait_for("You can run:")
    terminal.wait_for(r"echo restart nginx +\(change\)")
    terminal.wait_for(r"\{word\}: ")
    terminal.wait_for(r"echo held nginx +\(destructive, needs approval for each run\)")
    assert re.fullmatch(
        rf"{grant.ref} web-1 59m> |{grant.ref} web-1 1h 0m> ", terminal.wait_for(ASKS).group()
    )


def test_lines_can_be_edited_and_called_back(terminal):
    terminal.type("echo restart nginxx\x7f\r")
    terminal.wait_for(r"\nrestart nginx\r\n")
    terminal.wait_for(ASKS)
    terminal.type("\x1b[A\r")
    terminal.wait_for(r"\nrestart nginx\r\n")


def test_control_c_kills_the_command_and_keeps_the_prompt(terminal):
    tag = new_tag()
    terminal.type(f"test nohup {tag}\r")
    eventually(lambda: on_target(tag))
    terminal.type("\x03")
    eventually(lambda: not on_target(tag), within=2)
    terminal.wait_for("interrupted by its holder")
    terminal.wait_for(ASKS)
    terminal.type("echo restart nginx\r")
    terminal.wait_for(r"\nrestart nginx\r\n")


def test_of_a_line_that_is_too_long_no_part_is_run(terminal, grant):
    terminal.type("echo restart nginx" + " " * 4090)
    terminal.wait_for("\a")
    terminal.type("; id\r")
    terminal.wait_for("longer than 4096 characters. Nothing was run.")
    terminal.wait_for(ASKS)
    terminal.type("echo restart nginx\r")
    terminal.wait_for(r"\nrestart nginx\r\n")
    eventually(lambda: CommandRun.objects.filter(grant=grant).count() == 1)


def test_what_is_typed_while_a_command_runs_is_not_run(terminal, grant):
    tag = new_tag()
    terminal.type(f"test sleep {tag}\r")
    eventually(lambda: on_target(tag))
    terminal.type("echo restart nginx\r")
    time.sleep(0.3)
    terminal.type("\x03")
    terminal.wait_for(ASKS)
    terminal.type("true\r")
    terminal.wait_for(ASKS)
    assert "echo restart nginx" not in CommandRun.objects.filter(grant=grant).values_list("line", flat=True)


@pytest.mark.parametrize("typed", ["exit\r", "\x04"])
def test_one_leaves_with_exit_and_with_control_d(terminal, typed):
    terminal.type(typed)
    assert terminal.client.wait(allow(5)) == 0


def test_a_revoke_ends_the_prompt_and_what_runs_in_it(terminal, grant):
    tag = new_tag()
    terminal.type(f"test setsid {tag}\r")
    eventually(lambda: on_target(tag))
    revoke(grant)
    eventually(lambda: not on_target(tag), within=2)
    terminal.wait_for(f"{grant.ref} has ended: revoked.")
    assert terminal.client.wait(allow(2)) == 255


def test_an_idle_prompt_is_closed_at_the_deadline(place):
    grant = place.grant(duration=3)
    terminal = Terminal(place.command(options=("-tt",)))
    try:
        terminal.wait_for(f"{grant.ref} has ended: expired.", within=40)
        assert terminal.client.wait(allow(2)) == 255
    finally:
        terminal.close()
