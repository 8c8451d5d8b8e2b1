"""The words of one command for the linter: the possible values of each, and who chooses them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import re2

from sessions_app.policy.commands.argv.templates import Slot, Word
from sessions_app.policy.commands.document import CommandRule
from sessions_app.policy.commands.meeting import ANYTHING, can_meet, of_glob
from sessions_app.policy.commands.parameters import (
    Choice,
    Cidr,
    Duration,
    Int,
    Name,
    ParameterType,
    PathBelow,
    Pattern,
    WorkflowValue,
)
from sessions_app.policy.commands.patterns import compile_pattern
from sessions_app.policy.commands.ssh.document import SSHCommandSet
from sessions_app.policy.commands.within import accepts, longest_of

# A word with more possible values than this is not expanded and counts as open.
_MOST = 1000
_SLASHES = ("a/b", "..", "../a", "/a")
_ANY_NAMES = (
    "a",
    "x1",
    "1",
    "root",
    "sshd",
    "poweroff.target",
    "sshd.service",
    "eth0",
    "sda1",
    "10.0.0.1",
    "http://a",
    "a/b",
    "/a",
)
# A literal prefix that ends in one of these characters identifies the owner, and the value only selects one
# of its objects.
_SEPARATORS = ("-", "_", "@", ".", ":", "/", "=")
_ONLY_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_WILD = re.compile(r"\[!?\]?[^\]]*\]|[*?]")


@dataclass(frozen=True)
class WordParameter:
    """A parameter in a word: its type, and whether its value is free at each run.

    Otherwise, the value is bound, and approvers see it.
    """

    type_: ParameterType
    free: bool


@dataclass(frozen=True)
class Spoken:
    """One word, or the rest of a word after an option."""

    pieces: tuple[str | WordParameter, ...]
    text: str

    @cached_property
    def texts(self) -> tuple[str, ...] | None:
        """Return every string that the word can be, if the document lists them all; None if the word is
        open.
        """
        choices = [
            (piece,)
            if isinstance(piece, str)
            else piece.type_.choices
            if isinstance(piece.type_, Choice)
            else ()
            for piece in self.pieces
        ]
        count = 1
        for choice in choices:
            count *= len(choice)
        return tuple("".join(parts) for parts in product(*choices)) if 0 < count <= _MOST else None

    @property
    def head(self) -> str:
        """The literal text at the beginning of the word."""
        return self.pieces[0] if self.pieces and isinstance(self.pieces[0], str) else ""

    @property
    def tail(self) -> str:
        """The literal text at the end of the word."""
        return self.pieces[-1] if self.pieces and isinstance(self.pieces[-1], str) else ""

    @property
    def is_literal(self) -> bool:
        """Whether the word has no parameters."""
        return all(isinstance(one, str) for one in self.pieces)

    @property
    def is_free(self) -> bool:
        """Whether the holder freely chooses a part of the word at each run."""
        return any(
            isinstance(one, WordParameter) and one.free and not isinstance(one.type_, Choice)
            for one in self.pieces
        )

    @property
    def is_named(self) -> bool:
        """Whether the word is literal text, or its prefix or pattern identifies the object's
        owner: `worker@{n}`.
        """
        if self.texts is not None:
            return True
        if len(self.head) > 1 and self.head.endswith(_SEPARATORS) and not _ONLY_SCHEME.fullmatch(self.head):
            return True
        first = self.pieces[0]
        return (
            isinstance(first, WordParameter)
            and isinstance(first.type_, Pattern)
            and not _takes(first.type_, _ANY_NAMES)
        )

    @cached_property
    def pattern(self) -> str:
        """An RE2 pattern that matches every text that the word can be, and perhaps others."""
        return "".join(
            re2.escape(one) if isinstance(one, str) else f"(?:{_pattern_of(one.type_)})"
            for one in self.pieces
        )

    def may_be(self, text: str) -> bool:
        """Whether the word can be this text."""
        if self.texts is not None:
            return text in self.texts
        only = self.pieces[0]
        if len(self.pieces) == 1 and isinstance(only, WordParameter) and not isinstance(only.type_, Pattern):
            return accepts(only.type_, text)
        try:
            return compile_pattern(self.pattern).fullmatch(text) is not None
        except ValueError:  # combined, they don't form a valid pattern: `\Q` without an end, or too large
            return True

    def may_fit(self, glob: str, *, begins: bool = False) -> bool:
        """Whether the word can match a glob or, with `begins`, the start of a glob."""
        parts = _WILD.split(glob)
        if not begins and len(parts) == 1:
            return self.may_be(glob)
        if not _fits_start(self.head, parts[0]) or not (begins or _fits_end(self.tail, parts[-1])):
            return False
        return can_meet(self.pattern + ANYTHING if begins else self.pattern, of_glob(glob))

    def may_meet(self, other: Spoken) -> bool:
        """Whether both words can have the same text. Returns True if in doubt."""
        if self.texts is not None:
            return any(map(other.may_be, self.texts))
        if other.texts is not None:
            return any(map(self.may_be, other.texts))
        types = [one.type_ for word in (self, other) for one in word.pieces if isinstance(one, WordParameter)]
        if len(types) == len(self.pieces) + len(other.pieces) and all(isinstance(one, Int) for one in types):
            (low, high), (least, most) = (one.bounds for one in types if isinstance(one, Int))
            return low <= most and least <= high
        ends_fit = _fits_start(self.head, other.head) and _fits_end(self.tail, other.tail)
        return ends_fit and can_meet(self.pattern, other.pattern)

    def after(self, count: int) -> Spoken:
        """Return the word without its first ``count`` characters, which must be literal."""
        head = self.head[count:]
        rest = self.pieces[1:] if self.head else self.pieces
        return Spoken((head, *rest) if head else rest or ("",), self.text[count:])

    @property
    def takes_paths(self) -> bool:
        """Whether a value in the word can lead to other folders."""
        return any(isinstance(one, WordParameter) and _takes_slashes(one.type_) for one in self.pieces)

    @cached_property
    def below(self) -> str | None:
        """The folder that contains every value of an open path ("/" for any folder); None for a plain
        name.
        """
        head, first = self.head, self.pieces[0]
        if isinstance(first, WordParameter) and isinstance(first.type_, PathBelow):
            return first.type_.root
        if self.takes_paths:
            return "/"
        return (head.rpartition("/")[0] or "/") if "/" in head else None


def _fits_start(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _fits_end(one: str, other: str) -> bool:
    return one.endswith(other) or other.endswith(one)


def _pattern_of(type_: ParameterType) -> str:
    """Return an RE2 pattern of all values of a type."""
    if isinstance(type_, Pattern):
        return type_.pattern
    if isinstance(type_, Choice):
        return "|".join(map(re2.escape, type_.choices))
    if isinstance(type_, Int):
        return ("-?" if type_.bounds[0] < 0 else "") + "[0-9]{1,19}"
    if isinstance(type_, PathBelow):
        return f"{re2.escape(type_.root.rstrip('/'))}/.+"
    if isinstance(type_, Cidr):
        return "[0-9a-f.:/]+"
    if isinstance(type_, Duration):
        return "[0-9]{1,9}[smhd]"
    if isinstance(type_, Name | WorkflowValue):
        return f"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{longest_of(type_) - 1}}}"
    return ANYTHING


def _takes_slashes(type_: ParameterType) -> bool:
    return isinstance(type_, PathBelow) or (isinstance(type_, Pattern) and _takes(type_, _SLASHES))


def _takes(type_: Pattern, probes: tuple[str, ...]) -> bool:
    compiled = compile_pattern(type_.pattern)
    return any(compiled.fullmatch(probe) is not None for probe in probes)


def spoken(document: SSHCommandSet, rule: CommandRule, word: Word) -> Spoken:
    """Return a word of a command with the types of its values."""
    pieces = tuple(
        WordParameter(document.type_of(rule, piece.name), piece.name in rule.where)
        if isinstance(piece, Slot)
        else piece
        for piece in word
    )
    return Spoken(
        pieces, "".join(f"{{{piece.name}}}" if isinstance(piece, Slot) else piece for piece in word)
    )
