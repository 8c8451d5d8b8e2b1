r"""Quoting that bash, dash, zsh and fish all undo to exactly the same words.

`shlex.quote` will not do: fish reads a backslash inside single quotes as an escape, and zsh expands a bare
`=name`. So every word is quoted, and `'` and `\` stand outside the quotes, each behind a backslash. csh and
tcsh can't be made safe this way.
"""

import re
from collections.abc import Iterable

_SPECIAL = re.compile(r"(['\\])")
_FORBIDDEN = re.compile(r"[\0\r\n]")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-][A-Za-z0-9_./:@%+,=-]*")


class QuoteRefused(ValueError):
    """A word that no shell can be handed safely: it holds NUL, carriage return or newline."""


def quote(word: str) -> str:
    """`word` for any of the four shells. Raises QuoteRefused for NUL, CR and LF."""
    if _FORBIDDEN.search(word):
        raise QuoteRefused("a word can't contain NUL, carriage return or newline: remove it")
    parts = _SPECIAL.split(word)
    return "".join("\\" + part if part in ("'", "\\") else f"'{part}'" for part in parts if part) or "''"


def quote_argv(argv: Iterable[str]) -> str:
    """The words as one command line, every word quoted. Raises QuoteRefused as `quote` does."""
    return " ".join(map(quote, argv))


def readable(argv: Iterable[str]) -> str:
    """The words as a person would type them: quotes only where the strict parser or a shell needs them."""
    return " ".join(word if _PLAIN.fullmatch(word) else quote(word) for word in argv)
