"""The ssh kind, as `policy.commands.kinds` registers it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sessions_app.policy.commands.answers import Allowed, CommandView, Refused
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.ssh import decide as deciding
from sessions_app.policy.commands.ssh.covers import covers
from sessions_app.policy.commands.ssh.decide import CompiledSet
from sessions_app.policy.commands.ssh.document import SSHCommandSet
from sessions_app.policy.commands.ssh.lint import lint
from sessions_app.policy.commands.ssh.starters import STARTERS
from sessions_app.policy.commands.starters import Starter


class SSHKind:
    """Command lines on hosts."""

    name = "ssh"
    title = "SSH"
    document = SSHCommandSet
    starters: Sequence[Starter] = STARTERS
    hint = "systemctl restart nginx"

    def compile(
        self, document: SSHCommandSet, bindings: Mapping[str, str] | None, keep: Collection[int] | None
    ) -> CompiledSet:
        """The command lines with values in place."""
        if bindings is None:
            return deciding.compile_open(document)
        return deciding.compile_set(document, bindings, keep)

    def decide(self, compiled: CompiledSet, line: str) -> Allowed | Refused:
        """Whether this line may run."""
        return deciding.decide(compiled, line)

    def covers(self, parent: CompiledSet, child: CompiledSet) -> str | None:
        """Why one set is not within the other; None when it is."""
        return covers(parent, child)

    def describe(self, compiled: CompiledSet) -> list[CommandView]:
        """The command lines with bound values."""
        return deciding.describe(compiled)

    def lint(self, document: SSHCommandSet) -> list[Finding]:
        """What the lines allow beyond what they seem to."""
        return lint(document)


KIND = SSHKind()
