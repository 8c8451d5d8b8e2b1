r"""Quoting for which bash, dash, zsh and fish all return exactly the original words.

`shlex.quote` is not enough: fish treats a backslash inside single quotes as an escape, and zsh expands a bare
`=name`. So every word is quoted, and each `'` and `\` is written outside the quotes, after a backslash. csh
and tcsh can't be made safe in this way.
"""

import re
from collections.abc import Iterable

_SPECIAL = re.compile(r"(['\\])")
_FORBIDDEN = re.compile(r"[\0\r\n]")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-][A-Za-z0-9_./:@%+,=-]*")


class QuoteRefused(ValueError):
    """A word that can't be passed safely to any shell: it contains NUL, carriage return or newline."""


def quote(word: str) -> str:
    """Quote `word` for any of the four shells. Raises QuoteRefused for NUL, CR or LF."""
    if _FORBIDDEN.search(word):
        raise QuoteRefused("a word can't contain NUL, carriage return or newline: remove it")
    parts = _SPECIAL.split(word)
    return "".join("\\" + part if part in ("'", "\\") else f"'{part}'" for part in parts if part) or "''"


def quote_argv(argv: Iterable[str]) -> str:
    """Return the words as one command line, each quoted. Raises QuoteRefused like `quote`."""
    return " ".join(map(quote, argv))


def quote_script(text: str) -> str:
    """Quote a script of several lines as one word. Raises QuoteRefused for NUL and CR."""
    return "'\n'".join(map(quote, text.split("\n")))


def readable(argv: Iterable[str]) -> str:
    """Return the words as typed, with quotes only where the strict parser or a shell needs them."""
    return " ".join(word if _PLAIN.fullmatch(word) else quote(word) for word in argv)
