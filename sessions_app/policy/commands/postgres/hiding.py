"""The text that is recorded in place of secret values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.postgres.sql.hiding import hidden
from sessions_app.policy.commands.postgres.statement_set import StatementSet
from sessions_app.policy.commands.postgres.statements import Runs, decide_text

# In bytes.
_DIGEST = 16
_REASONS = {
    "value": "a value is not allowed",
    "syntax": "it can't be read",
    "statement": "no command allows this statement",
}
_FROM_SERVER = re.compile(r"\A([0-9A-Z]{5}) .*", re.DOTALL)


class Hiding:
    """Hides the secret values of one grant, whose key makes their digests: equal values can be recognized
    within the grant, and none can be guessed.

    In a set without secret values, everything is recorded unchanged.
    """

    def __init__(self, compiled: StatementSet, digests: Callable[[bytes], bytes]) -> None:
        """``digests`` computes the digests under the key of the grant."""
        self.hides = compiled.hides
        self._compiled, self._digests = compiled, digests

    def digest(self, value: str) -> str:
        """Return the text that is recorded in place of a value."""
        if not self.hides:
            return value
        return f"[secret, sha256:{self._digests(value.encode('utf-8', 'replace'))[:_DIGEST].hex()}]"

    def line(self, line: str) -> str:
        """Return a statement as typed in its recorded form, whether or not it is allowed."""
        found = decide_text(self._compiled, line) if self.hides else ()
        if len(found) == 1 and isinstance(found[0], Runs):
            return found[0].recorded(self.digest).line
        return self.text(line)

    def result(self, runs: Runs, text: str) -> str:
        """Return a value of a result in its recorded form, because a statement may return its own secrets."""
        secrets = sorted(filter(None, runs.secrets), key=len, reverse=True)
        found = re.compile("|".join(map(re.escape, secrets)))
        return found.sub(lambda match: self.digest(match[0]), text) if secrets else text

    def text(self, text: str, values: Sequence[str | None] = ()) -> str:
        """Return a refused text in its recorded form, with its bound values in a comment."""
        shown: Callable[[str], str] = self.digest if self.hides else repr
        return with_values(hidden(text, self.digest) if self.hides else text, values, shown)

    def refused(self, refused: Refused) -> Refused:
        """Return a refusal in its recorded form, because its reason may quote a secret value."""
        return without_values(refused) if self.hides else refused

    def failure(self, reason: str) -> str:
        """Return the recorded form of a failure, because the server's message may quote a secret value."""
        return _FROM_SERVER.sub(r"\1", reason) if self.hides else reason


def without_values(refused: Refused) -> Refused:
    """Return a refusal with a reason that quotes no value."""
    reason = _REASONS.get(refused.code)
    return refused if reason is None else replace(refused, reason=reason)


def with_values(text: str, values: Sequence[str | None], shown: Callable[[str], str] = repr) -> str:
    """Return a statement with its bound values in a comment."""
    bound = ", ".join(
        f"${at} = NULL" if value is None else f"${at} = {shown(value)}" for at, value in enumerate(values, 1)
    )
    return f"{text} -- {bound}" if bound else text
