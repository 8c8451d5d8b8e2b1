"""Whether some text matches two patterns at the same time.

RE2 can't decide this. So both patterns are parsed into automata, and the pairs of states that a common string
can reach are searched. If a pattern has unsupported parts, such as `(?i)`, or is too large, the answer is
True. A count with a wide range, as in `[a-z]{1,40}`, is treated as having no upper limit.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache

import re2

from sessions_app.policy.commands.patterns import compile_pattern

ANYTHING = ".*"

# The printable ASCII characters, and one that represents all others.
_LETTERS = "".join(map(chr, range(0x20, 0x7F))) + "é"
_ALL = (1 << len(_LETTERS)) - 1
_MOST_STATES, _MOST_PAIRS, _DEEPEST, _WIDEST = 5_000, 10_000, 50, 8
_CLASS = re.compile(r"\[\^?\]?(\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]")
_COUNT = re.compile(r"(?:[*+?]|\{(?P<low>[0-9]+)(?P<comma>,(?P<high>[0-9]*))?\})\??")
_ALONE = re.compile(r"(?:\\[^A-Za-z0-9]|[^\\.\[\](){}|*+?^$])(?![*+?{])")
_GROUP = re.compile(r"\((?:\?(?::|P?<[A-Za-z0-9_]+>))?")


@lru_cache(maxsize=8192)
def can_meet(one: str, other: str) -> bool:
    """Whether some text matches both RE2 patterns in full. Returns True if in doubt."""
    first, second = _automaton(one), _automaton(other)
    return first is None or second is None or _share_text(first, second)


@lru_cache(maxsize=1024)
def of_glob(glob: str) -> str:
    """Return the pattern that is equivalent to a glob as fnmatch interprets it: `*`, `?` and `[...]`."""
    return "".join(map(_of_part, re.findall(r"\[(?:!.|[^!])[^\]]*\]|.", glob)))


def _of_part(part: str) -> str:
    if len(part) > 1:
        return "[" + re.sub(r"[\\[^]", r"\\\g<0>", part[1:]).replace("!", "^", part[1] == "!")
    return {"*": ANYTHING, "?": "."}.get(part) or re2.escape(part)


class _Unread(Exception):
    """A part of a pattern that this parser does not support."""


class _Automaton:
    """Numbered states, of which 0 is the first.

    `steps` are transitions on one character of a set, `skips` transitions without a character.
    """

    def __init__(self) -> None:
        self.steps: list[list[tuple[int, int]]] = []
        self.skips: list[list[int]] = []
        self.last = self.state()

    def state(self, *before: int) -> int:
        """Add a state that these states reach without a character, and return it."""
        if len(self.steps) > _MOST_STATES:
            raise _Unread
        self.steps.append([])
        self.skips.append([])
        for one in before:
            self.skips[one].append(len(self.steps) - 1)
        return len(self.steps) - 1

    def step(self, before: int, characters: int) -> int:
        """Add a state that this state reaches with one of these characters, and return it."""
        after = self.state()
        self.steps[before].append((characters, after))
        return after


@lru_cache(maxsize=2048)
def _automaton(pattern: str) -> _Automaton | None:
    """Return the automaton of a pattern; None if it has unsupported parts."""
    reader = _Reader(pattern)
    try:
        compile_pattern(pattern)
        reader.built.last = reader.choices(0, 0)
    except (_Unread, IndexError, ValueError):
        return None
    return reader.built if reader.at == len(pattern) else None


class _Reader:
    """A parser that reads a pattern from left to right.

    Each method continues from a state, and returns the state in which its part ends.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at, self.built = pattern, 0, _Automaton()

    def choices(self, start: int, depth: int) -> int:
        """Parse to the end of the pattern, or to the parenthesis that closes the group."""
        if depth > _DEEPEST:
            raise _Unread
        ends = [self._sequence(start, depth)]
        while self.pattern.startswith("|", self.at):
            self.at += 1
            ends.append(self._sequence(start, depth))
        return ends[0] if len(ends) == 1 else self.built.state(*ends)

    def _sequence(self, start: int, depth: int) -> int:
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            start = self._repeated(start, depth)
        return start

    def _repeated(self, start: int, depth: int) -> int:
        begin = self.at
        if found := _ALONE.match(self.pattern, begin):
            self.at = found.end()
            return self.built.step(start, _set_of(found[0]))
        ends = [start, self._part(begin, start, depth)]  # by the number of repetitions
        found = _COUNT.match(self.pattern, self.at)
        if found is None:
            return ends[1]
        if _COUNT.match(self.pattern, found.end()):
            raise _Unread
        low, high = _bounds(found)
        while len(ends) <= max(low, high or 0):
            ends.append(self._part(begin, ends[-1], depth))
        last = self.built.state(*ends[low : len(ends) if high is None else high + 1])
        if high is None:
            self.built.skips[self._part(begin, last, depth)].append(last)
        self.at = found.end()
        return last

    def _part(self, begin: int, start: int, depth: int) -> int:
        """Parse the part that begins at this character a second time."""
        self.at = begin
        return self._atom(self.built.state(start), depth)

    def _atom(self, start: int, depth: int) -> int:
        char = self.pattern[self.at]
        if char == "(":
            return self._group(start, depth)
        if char in "^$":
            self.at += 1
            return start
        return self.built.step(start, self._characters(char))

    def _group(self, start: int, depth: int) -> int:
        found = _GROUP.match(self.pattern, self.at)
        if found is None or self.pattern.startswith("?", found.end()):
            raise _Unread
        self.at = found.end()
        end = self.choices(start, depth + 1)
        self.at += 1
        return end

    def _characters(self, char: str) -> int:
        """Parse one character or a character set."""
        found = _CLASS.match(self.pattern, self.at) if char == "[" else None
        length = len(found[0]) if found else 2 if char == "\\" else 1
        text = self.pattern[self.at : self.at + length]
        if char == "\\" and text[1].isalnum() and text[1] not in "dDsSwW":
            raise _Unread
        self.at += length
        return _set_of(text)


def _bounds(count: re.Match[str]) -> tuple[int, int | None]:
    """Return the minimum and maximum number of repetitions; None for no maximum."""
    if count[0][0] in "*+?":
        return int(count[0][0] == "+"), 1 if count[0][0] == "?" else None
    low = int(count["low"])
    if not count["comma"]:
        return low, low
    high = int(count["high"] or low + _WIDEST + 1)
    return low, high if high - low <= _WIDEST else None


@lru_cache(maxsize=4096)
def _set_of(text: str) -> int:
    """Return the characters that a class, an escape or a single character matches, as a bit set.

    Bit n is the nth of `_LETTERS`.
    """
    if text == ".":
        return _ALL
    if len(text) == 1 or (text[0] == "\\" and not text[1].isalnum()):
        at = _LETTERS.find(text[-1])
        return 1 << (at if at >= 0 else len(_LETTERS) - 1)
    compiled = compile_pattern(text)
    found = sum(1 << at for at, char in enumerate(_LETTERS) if compiled.fullmatch(char) is not None)
    return (
        found if text.isascii() and "\\" not in text and "^" not in text else found | 1 << len(_LETTERS) - 1
    )


def _share_text(first: _Automaton, second: _Automaton) -> bool:
    seen, waiting = {(0, 0)}, deque([(0, 0)])
    while waiting and len(seen) < _MOST_PAIRS:
        one, other = waiting.popleft()
        if one == first.last and other == second.last:
            return True
        after = [(skip, other) for skip in first.skips[one]] + [(one, skip) for skip in second.skips[other]]
        for characters, next_one in first.steps[one]:
            after += [
                (next_one, next_other) for others, next_other in second.steps[other] if characters & others
            ]
        waiting.extend(pair for pair in dict.fromkeys(after) if pair not in seen)
        seen.update(after)
    return bool(waiting)
