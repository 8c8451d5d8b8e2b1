"""Facts that the table of programs reports about a command."""

from __future__ import annotations

from dataclasses import dataclass

from sessions_app.policy.commands.document import Effect
from sessions_app.policy.commands.findings import Severity


@dataclass(frozen=True, slots=True)
class Hit:
    """A possible effect of a command. `shown` is the part of the command that causes it, and `effect` the
    minimum effect.

    A hit without a `code` reports only the effect, and is not a finding.
    """

    severity: Severity
    code: str | None
    shown: str
    why: str
    fix: str
    effect: Effect = "read"
    contained: bool = False


def only_effect(shown: str, effect: Effect) -> Hit:
    """Return a hit that is not a finding."""
    return Hit("warning", None, shown, "", "", effect)
