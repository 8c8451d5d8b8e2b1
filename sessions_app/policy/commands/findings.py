"""Linter findings, and the checks that apply to documents of every kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sessions_app.policy.commands.document import CommandSetDocument

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem that the linter found in a document.

    An error blocks publishing; a warning can be accepted with a reason.

    `where` is a path (`commands[2].run`). `message` describes the problem and its cause, and `fix` the
    solution.
    """

    severity: Severity
    code: str
    where: str
    message: str
    fix: str


def document_findings(document: CommandSetDocument) -> Iterator[Finding]:
    """Check rules for every kind: a command is listed, examples exist, and parameters are used."""
    if not document.commands:
        yield Finding(
            "error",
            "empty",
            "commands",
            "no command is listed, so nothing would be allowed",
            "add at least one command",
        )
    if not document.examples.allow or not document.examples.refuse:
        yield Finding(
            "warning",
            "no_examples",
            "examples",
            "no examples of allowed and refused lines",
            "add at least one line under allow and one under refuse",
        )
    used = {name for rule in document.commands for name in rule.names}
    for name in document.parameters:
        if name not in used:
            yield Finding(
                "warning",
                "unused",
                f"parameters.{name}",
                "no command uses this parameter",
                "remove the parameter, or use it in a command",
            )
