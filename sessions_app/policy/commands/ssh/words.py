"""The words of one command as the linter sees them: what each can be, and who chooses it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from sessions_app.policy.commands.parameters import Choice, ParameterType, PathBelow, Pattern
from sessions_app.policy.commands.patterns import compile_pattern
from sessions_app.policy.commands.ssh.document import SSHCommand, SSHCommandSet
from sessions_app.policy.commands.ssh.templates import Slot, Word

# With more texts than this, a word is not expanded and counts as open.
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
# A literal beginning that ends in one of these names the owner, and the value only picks one of its objects.
_SEPARATORS = ("-", "_", "@", ".", ":", "/", "=")
_ONLY_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")


@dataclass(frozen=True)
class Place:
    """A value in a word: its type, and whether it is free at each run. Otherwise it is bound, and approvers see it."""

    type_: ParameterType
    free: bool


@dataclass(frozen=True)
class Spoken:
    """One word, or the rest of one after an option."""

    pieces: tuple[str | Place, ...]
    text: str

    @cached_property
    def texts(self) -> tuple[str, ...] | None:
        """Every text that it can be, if the document lists them all; None if it is open."""
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
        """The literal text that it begins with."""
        return self.pieces[0] if self.pieces and isinstance(self.pieces[0], str) else ""

    @property
    def is_free(self) -> bool:
        """Whether someone chooses a part of it at each run, other than from a list."""
        return any(
            isinstance(one, Place) and one.free and not isinstance(one.type_, Choice) for one in self.pieces
        )

    @property
    def is_named(self) -> bool:
        """Whether it is written out, or its beginning or pattern identifies whose object it is: `worker@{n}`."""
        if self.texts is not None:
            return True
        if len(self.head) > 1 and self.head.endswith(_SEPARATORS) and not _ONLY_SCHEME.fullmatch(self.head):
            return True
        first = self.pieces[0]
        return (
            isinstance(first, Place)
            and isinstance(first.type_, Pattern)
            and not _takes(first.type_, _ANY_NAMES)
        )

    def after(self, count: int) -> Spoken:
        """Return the word without its first ``count`` characters, which must be literal."""
        head = self.head[count:]
        rest = self.pieces[1:] if self.head else self.pieces
        return Spoken((head, *rest) if head else rest or ("",), self.text[count:])

    @cached_property
    def below(self) -> str | None:
        """For an open word that is a path, the folder that it stays in, "/" for any; None for a plain name."""
        head, first = self.head, self.pieces[0]
        if isinstance(first, Place) and isinstance(first.type_, PathBelow):
            return first.type_.root
        if any(isinstance(one, Place) and _takes_slashes(one.type_) for one in self.pieces):
            return "/"
        return (head.rpartition("/")[0] or "/") if "/" in head else None


def _takes_slashes(type_: ParameterType) -> bool:
    return isinstance(type_, PathBelow) or (isinstance(type_, Pattern) and _takes(type_, _SLASHES))


def _takes(type_: Pattern, probes: tuple[str, ...]) -> bool:
    compiled = compile_pattern(type_.pattern)
    return any(compiled.fullmatch(probe) is not None for probe in probes)


def spoken(document: SSHCommandSet, rule: SSHCommand, word: Word) -> Spoken:
    """Return a word of a command with the types of its values."""
    pieces = tuple(
        Place(document.type_of(rule, piece.name), piece.name in rule.where)
        if isinstance(piece, Slot)
        else piece
        for piece in word
    )
    return Spoken(
        pieces, "".join(f"{{{piece.name}}}" if isinstance(piece, Slot) else piece for piece in word)
    )
