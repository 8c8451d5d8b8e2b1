"""Command lines on hosts."""

from __future__ import annotations

from sessions_app.policy.commands.kind import CommandKind
from sessions_app.policy.commands.ssh.covers import covers
from sessions_app.policy.commands.ssh.decide import compile_open, compile_set, decide, describe
from sessions_app.policy.commands.ssh.document import SSHCommandSet
from sessions_app.policy.commands.ssh.lint import lint
from sessions_app.policy.commands.ssh.starters import STARTERS

KIND = CommandKind(
    name="ssh", title="SSH", document=SSHCommandSet, starters=STARTERS, hint="systemctl restart nginx",
    with_values=compile_set, open=compile_open, decide=decide, covers=covers, describe=describe, lint=lint,
)  # fmt: skip
