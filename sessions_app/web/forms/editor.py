"""A text in an editor, with its faults at their lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import QueryDict

from sessions_app.policy.documents import Problem

# Line numbers beyond the last line, so that new lines have numbers without a request to the server.
SPARE = 120


def sent(data: QueryDict) -> str:
    """Return the text that a form sent, with newlines as one character. Browsers send CRLF."""
    return data.get("source", "").replace("\r\n", "\n")


@dataclass(frozen=True, slots=True)
class Typed:
    """The text as typed, with its faults."""

    source: str = ""
    problems: Sequence[Problem] = ()

    @property
    def rows(self) -> int:
        """The height of the field in lines, for browsers that can't resize it automatically."""
        return min(60, max(12, self.source.count("\n") + 2))

    @property
    def lines(self) -> list[tuple[int, bool]]:
        """The line numbers, each with whether its line has a fault."""
        wrong = {problem.line for problem in self.problems}
        return [(number, number in wrong) for number in range(1, self.source.count("\n") + 2 + SPARE)]
