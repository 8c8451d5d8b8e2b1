"""Which grant covers a line, and the decision on the line."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from sessions_app.gateways.ssh.admission import NoAccess, SeveralGrants, choose, choose_for_files
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


def use_of(ref: str, rule: str = ""):
    compiled = compile_open(parse_text(f"{SET}  {rule}\n"))
    return SimpleNamespace(compiled=compiled, grant_ref=ref)


def test_files_belong_to_the_one_grant_that_has_rules_for_them():
    commands, files = use_of("GR-1111"), use_of("GR-2222", "- {list: /srv}")
    chosen = choose_for_files([commands, files], asked_as="web-1", public_url="")
    assert chosen is files
    with pytest.raises(NoAccess, match="GR-1111 allows no file transfers on web-1"):
        choose_for_files([commands], asked_as="web-1", public_url="")
    with pytest.raises(SeveralGrants):
        choose_for_files([files, use_of("GR-3333", "- {get: /srv/a}")], asked_as="web-1", public_url="")
    with pytest.raises(NoAccess, match="no active access"):
        choose_for_files([], asked_as="web-1", public_url="")
