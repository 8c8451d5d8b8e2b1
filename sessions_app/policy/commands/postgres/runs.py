"""Allowed statements: the SQL to send, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.postgres.sql.compiled import CompiledStatement, Place
from sessions_app.policy.commands.postgres.sql.pieces import Value
from sessions_app.policy.commands.postgres.sql.showing import Shown
from sessions_app.policy.commands.postgres.texts import PLACE, Read, line_of

AT_COMMIT = "its COMMIT waits for a second person"
# In place of a secret value where there is no key for its digest.
HIDDEN = "[secret]"


class Recorded(NamedTuple):
    """What is recorded of an allowed command: the decision, its secret values, and the parts of the line
    around these.
    """

    allowed: Allowed
    secrets: tuple[str, ...] = ()
    around: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Runs:
    """An allowed command.

    ``text`` is the SQL to send, with `$n` for each bound parameter, and opens ``cursor``. ``shown``: what
    approvers see, if it is held at its COMMIT. ``command`` is the command that allows it. What is recorded is
    made when it is first needed, so that repeated reads are sent before.
    """

    text: str
    command: CompiledStatement
    shown: Shown | None
    cursor: str
    _record: Callable[[], Recorded] = field(repr=False)
    _recorded: Recorded | None = field(default=None, init=False, repr=False)

    @property
    def _made(self) -> Recorded:
        if self._recorded is None:
            self._recorded = self._record()
        return self._recorded

    @property
    def allowed(self) -> Allowed:
        """The decision. Its line is the SQL with its values in place, without the secret ones."""
        return self._made.allowed

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret values."""
        return self._made.secrets

    @property
    def may_write(self) -> bool:
        """Whether approvers have allowed it to write."""
        return self.command.rule.effect != "read" or self.command.verb != "SELECT"

    @property
    def max_rows(self) -> int | None:
        """The maximum number of rows: a run that touches more must be rolled back. None if there is none."""
        return self.command.rule.rows

    def recorded(self, digest: Callable[[str], str]) -> Allowed:
        """Return the decision to record. ``digest`` returns what is recorded in place of a secret value."""
        allowed, secrets, around = self._made
        if not secrets:
            return allowed
        pairs = zip(around, (*map(digest, secrets), ""), strict=True)
        return replace(allowed, argv=("".join(text for pair in pairs for text in pair),))


def recorded(
    command: CompiledStatement,
    read: Read,
    values: tuple[Value, ...],
    matched: dict[str, str],
    amounts: dict[str, Decimal],
) -> Recorded:
    """Return what is recorded of a command with these values."""
    rule, at_commit = command.rule, command.at_commit
    allowed = Allowed(
        command.index,
        rule.effect,
        rule.held,
        rule.finish_seconds,
        matched,
        (line_of(command, read, values),),
        notes=(AT_COMMIT,) if at_commit else (),
        at_commit=at_commit,
        amounts=amounts,
    )
    return _without_secrets(allowed, command, read, values) if rule.secret else Recorded(allowed)


def _without_secrets(
    allowed: Allowed, command: CompiledStatement, read: Read, values: tuple[Value, ...]
) -> Recorded:
    around, pairs = tuple(allowed.line.split(PLACE)), zip(command.places, values, strict=True)
    secrets = tuple(value.text for place, value in pairs if isinstance(place, Place) and place.secret)
    known = {name: text for name, text in allowed.matched.items() if name not in command.rule.secret}
    whole = line_of(command, read, values, hide=False)
    allowed = replace(allowed, matched=known, argv=(HIDDEN.join(around),), exact=whole)
    return Recorded(allowed, secrets, around)
