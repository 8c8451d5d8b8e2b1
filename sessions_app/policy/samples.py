"""Example strings for patterns, for people who don't read regular expressions: `CHG-123` for
`(CHG|INC)-[0-9]+`.
"""

from __future__ import annotations

import functools
import re

import re2

_DIGITS, _LETTERS = "1234567890", "abcdefghij"
_ESCAPED = {
    "d": _DIGITS,
    "w": _LETTERS,
    "s": " ",
    "D": _LETTERS,
    "W": "-",
    "S": _LETTERS,
    "A": "",
    "z": "",
    "b": "",
    "B": "",
}
_COUNT = re.compile(r"([*+?]|[{](?P<low>[0-9]+)(?P<comma>,(?P<high>[0-9]*))?[}])[?]?")
_MANY = 3


@functools.lru_cache(maxsize=1024)
def sample_of(pattern: str) -> str | None:
    """Return a simple text that an RE2 pattern matches in full; None if none is found."""
    try:
        text = _Reader(pattern).whole()
    except (IndexError, ValueError):
        return None
    return text if text and re2.fullmatch(pattern, text) else None


class _Reader:
    """Parses a pattern from left to right, always taking the first alternative.

    Raises IndexError if the pattern ends early.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern, self._at = pattern, 0

    def whole(self) -> str:
        """Parse to the end, or to the parenthesis that closes the group."""
        first = self._sequence()
        while self._next("|"):
            self._sequence()
        return first

    def _sequence(self) -> str:
        read = ""
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            read += self._repeated(self._atom())
        return read

    def _next(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _atom(self) -> str:
        """Return the text of one atom: characters to cycle through, or `(` and the text of a group."""
        char = self._take()
        if char == "(":
            while self._next("?"):
                self._at = (
                    min(at for at in (self._pattern.find(end, self._at) for end in ":>") if at >= 0) + 1
                )
            text = self.whole()
            self._take()
            return f"({text}"
        if char == "[":
            return self._class()
        if char == "\\":
            escaped = self._take()
            return _ESCAPED.get(escaped, escaped)
        return {".": _LETTERS, "^": "", "$": ""}.get(char, char)

    def _take(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _class(self) -> str:
        """Return some characters of a class, from its first part.

        For a negated class, return characters that are not in it.
        """
        end = self._pattern.index("]", self._at + (2 if self._pattern[self._at] == "^" else 1))
        inside, self._at = self._pattern[self._at : end], end + 1
        if inside.startswith("^"):
            return "".join(char for char in _LETTERS + _DIGITS + "-" if re2.fullmatch(f"[{inside}]", char))
        usual = "".join(char for char in _DIGITS if re2.fullmatch(f"[{inside}]", char))
        letters = "".join(char for char in _LETTERS + _LETTERS.upper() if re2.fullmatch(f"[{inside}]", char))
        return (
            letters if letters and not inside.startswith(("0-9", r"\d")) else usual or letters or inside[:1]
        )

    def _repeated(self, atom: str) -> str:
        found = _COUNT.match(self._pattern, self._at)
        times = 1
        if found is not None:
            self._at = found.end()
            low = int(found["low"] or 0)
            times = low or 1 if found["low"] else _MANY if found[1] in "*+" else 1
            if found["low"] and found["comma"] and low < _MANY:
                times = min(_MANY, int(found["high"] or _MANY))
        if atom.startswith("(") and len(atom) != 1:
            return atom[1:] * times
        return "".join(atom[at % len(atom)] for at in range(min(times, 200))) if atom else ""
