"""A command of a document taken apart, as the linter's rules look at it."""

from dataclasses import dataclass
from functools import cached_property

from sessions_app.policy.commands.findings import Finding, Severity
from sessions_app.policy.commands.parameters import Choice, ParameterType
from sessions_app.policy.commands.ssh.document import SSHCommand, SSHCommandSet
from sessions_app.policy.commands.ssh.templates import Slot, Word


@dataclass(frozen=True)
class Command:
    """One command of a document, taken apart."""

    document: SSHCommandSet
    index: int
    rule: SSHCommand

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words, literal text and slots in turn."""
        return self.rule.template().words

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The words as text, with `{name}` where a value stands."""
        return tuple(
            "".join(f"{{{p.name}}}" if isinstance(p, Slot) else p for p in word) for word in self.words
        )

    @property
    def program(self) -> str:
        """The program's name without its folder."""
        return self.texts[0].rpartition("/")[2]

    @cached_property
    def said(self) -> frozenset[str]:
        """All whole words that can stand behind the program, the values of choices included."""
        chosen = (
            choice
            for _, type_, _ in self.whole_word_types()
            if isinstance(type_, Choice)
            for choice in type_.choices
        )
        return frozenset((*self.texts[1:], *chosen))

    @cached_property
    def verbs(self) -> tuple[str, ...] | None:
        """What the first argument that is not an option can be: one word (empty if none), choices, or None
        for any.
        """
        position = next((at for at, text in enumerate(self.texts) if at and not text.startswith("-")), None)
        if position is None:
            return ("",)
        piece = self.words[position][0]
        if not isinstance(piece, Slot):
            return (self.texts[position],)
        type_ = self.document.type_of(self.rule, piece.name)
        return type_.choices if isinstance(type_, Choice) and len(self.words[position]) == 1 else None

    @property
    def has_values(self) -> bool:
        """Whether any value stands in the command, bound or free."""
        return any(isinstance(piece, Slot) for word in self.words for piece in word)

    def has_short(self, letter: str) -> bool:
        """Whether a one-letter option is given, alone or in a cluster such as `-xz`."""
        return any(
            text[:1] == "-" and text[:2] != "--" and letter in text[1:].partition("=")[0]
            for text in self.texts[1:]
        )

    def whole_word_types(self) -> list[tuple[str, ParameterType, int]]:
        """Name, type and position of each value that is a whole word."""
        found = []
        for position, word in enumerate(self.words):
            piece = word[0]
            if len(word) == 1 and isinstance(piece, Slot):
                found.append((piece.name, self.document.type_of(self.rule, piece.name), position))
        return found

    def found(self, severity: Severity, code: str, message: str, fix: str) -> Finding:
        """A finding about this command's words."""
        return Finding(severity, code, f"commands[{self.index}].run", message, fix)
