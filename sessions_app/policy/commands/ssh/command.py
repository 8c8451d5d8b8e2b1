"""One command of a document in parsed form, for the linter's rules."""

from dataclasses import dataclass
from functools import cached_property

from sessions_app.policy.commands.argv.templates import Slot, Word
from sessions_app.policy.commands.findings import Finding, Severity
from sessions_app.policy.commands.parameters import ParameterType
from sessions_app.policy.commands.ssh.document import SSHCommand, SSHCommandSet
from sessions_app.policy.commands.ssh.file_rules import FileRule
from sessions_app.policy.commands.ssh.words import Spoken, spoken


@dataclass(frozen=True)
class ParsedCommand:
    """One command of a document in parsed form."""

    document: SSHCommandSet
    index: int
    rule: SSHCommand | FileRule

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words, as alternating literal text and slots."""
        return self.rule.template().words

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The words as text, with `{name}` for each value."""
        return tuple(
            "".join(f"{{{p.name}}}" if isinstance(p, Slot) else p for p in word) for word in self.words
        )

    @cached_property
    def spoken(self) -> tuple[Spoken, ...]:
        """The words with the types of their values."""
        return tuple(spoken(self.document, self.rule, word) for word in self.words)

    def whole_word_types(self) -> list[tuple[str, ParameterType, int]]:
        """Return the name, type and position of each parameter that is a whole word."""
        found = []
        for position, word in enumerate(self.words):
            piece = word[0]
            if len(word) == 1 and isinstance(piece, Slot):
                found.append((piece.name, self.document.type_of(self.rule, piece.name), position))
        return found

    def found(self, severity: Severity, code: str, message: str, fix: str) -> Finding:
        """Return a finding about this command's words."""
        return Finding(severity, code, f"commands[{self.index}].{self.rule.WRITTEN}", message, fix)
