"""A text editor with errors marked at their lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import QueryDict

from sessions_app.policy.documents import Problem

# Line numbers beyond the last line, so that new lines are numbered without a server request.
SPARE = 120


def sent(data: QueryDict) -> str:
    """Return the text from a sent form with LF newlines. Browsers send CRLF."""
    return data.get("source", "").replace("\r\n", "\n")


@dataclass(frozen=True, slots=True)
class Typed:
    """The text as typed, with its errors."""

    source: str = ""
    problems: Sequence[Problem] = ()

    @property
    def rows(self) -> int:
        """The height of the text field in lines, for browsers that can't resize it automatically."""
        return min(60, max(12, self.source.count("\n") + 2))

    @property
    def lines(self) -> list[tuple[int, bool]]:
        """The line numbers, each with whether the line has an error."""
        wrong = {problem.line for problem in self.problems}
        return [(number, number in wrong) for number in range(1, self.source.count("\n") + 2 + SPARE)]
