"""Patterns in RE2, so that no pattern in a document can make matching slow."""

from functools import lru_cache
from typing import Protocol

import re2  # type: ignore[import-untyped]


class Pattern2(Protocol):
    """A compiled RE2 pattern."""

    def fullmatch(self, text: str) -> object | None: ...


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str, *, broad: bool = False) -> Pattern2:
    """Compile an RE2 pattern, which matches in time linear in the text. Raises ValueError with the reason.

    With `broad`, the pattern ignores letter case, and `.` also matches a line break.
    """
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not broad
    options.dot_nl = broad
    try:
        compiled: Pattern2 = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0] if error.args else "it can't be parsed"
        why = why.decode("utf-8", "replace") if isinstance(why, bytes) else why
        raise ValueError(f"is not an RE2 pattern: {why}") from None
    return compiled


def matches_broadly(pattern: str, text: str) -> bool:
    """Whether a denied pattern matches a whole text, regardless of the letter case of either.

    The pattern is tried with and without letter case: `[^a-z]+` matches `ADMIN` only if letter case
    counts.
    """
    return any(
        compile_pattern(pattern, broad=broad).fullmatch(spelled) is not None
        for spelled in dict.fromkeys((text, text.lower(), text.upper()))
        for broad in (True, False)
    )
