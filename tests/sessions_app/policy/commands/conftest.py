"""Command sets for these tests."""

from typing import Any

import pytest

from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import parse_document, parse_text

RESTART_WEB = """\
name: restart-web
kind: ssh
summary: Restart one web service and read its log
risk: medium
parameters:
  unit: {choice: [nginx, haproxy]}
commands:
  - run: systemctl restart {unit}
    effect: change
  - run: journalctl --no-pager -u {unit} -n {lines}
    where: {lines: {int: [1, 1000]}}
    effect: read
  - run: systemctl stop {unit}
    effect: destructive
    hold: true
    end: {finish: 5m}
examples:
  allow: ["systemctl restart nginx"]
  refuse: ["systemctl restart nginx; id", "systemctl restart sshd"]
"""


@pytest.fixture
def restart_web_text():
    """The YAML of the set that most tests use."""
    return RESTART_WEB


@pytest.fixture
def restart_web():
    """Restart or stop one of two services and read its log."""
    return parse_text(RESTART_WEB)


def make(*commands: str | dict[str, Any], **fields: Any) -> CommandSetDocument:
    """A set of these commands; a text is a command that changes the target."""
    data: dict[str, Any] = {"name": "a-set", "kind": "ssh", "summary": "For a test", "risk": "low", **fields}
    data["commands"] = [
        {"run": command, "effect": "change"} if isinstance(command, str) else {"effect": "change", **command}
        for command in commands
    ]
    return parse_document(data)
