"""Which grant covers a line, and the decision on the line."""

import asyncio
import contextlib
from types import SimpleNamespace

from sessions_app.gateways.ssh.admission import choose
from sessions_app.gateways.ssh.commands import CommandExecution
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.kinds import compile_open, parse_text
from sessions_app.policy.commands.ssh import decide

SET = """
kind: ssh
name: look
summary: Look around
risk: low
commands:
  - {run: "uptime", effect: read}
"""


class Recorded:
    """A database that records the functions it is to run, and refuses."""

    async def run(self, operation, **given):
        self.given = given
        return Tried(
            run_id=1,
            session_id=1,
            line="reboot",
            verdict="refused",
            decision=given["decision"],
            message="",
            deadline=None,
        )


def test_a_line_is_decided_once_and_recorded_as_it_was_decided(monkeypatch):
    read, seen = decide.parse_line, []
    monkeypatch.setattr(decide, "parse_line", lambda line: seen.append(line) or read(line))
    use = SimpleNamespace(compiled=compile_open(parse_text(SET)), grant_ref="GR-7F3K", request_id=7)
    chosen = choose([use], "reboot", asked_as="web-1", public_url="")

    async def tried():
        nothing = lambda *_: None  # noqa: E731
        session = SimpleNamespace(
            id=1,
            use=use,
            lock=contextlib.AsyncExitStack(),
            check=nothing,
            registering=nothing,
            registered=nothing,
            opened=nothing,
        )
        parts = SimpleNamespace(database=Recorded(), clock=SimpleNamespace(now=nothing), gateway_id=1)
        await CommandExecution(parts, session, "reboot", chosen.decision, io=None).run()
        return parts.database.given["decision"]

    assert asyncio.run(tried()) is chosen.decision
    assert seen == ["reboot"]
