"""The file system as a grant shows it over SFTP: the paths that its rules name, and their parent folders.

Nothing here depends on the target: only a transfer shows whether a path exists there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from sessions_app.policy.commands.argv.matching import match_word, text_of
from sessions_app.policy.commands.argv.quoting import QuoteRefused, readable
from sessions_app.policy.commands.argv.templates import Slot, Word
from sessions_app.policy.commands.characters import hidden_at
from sessions_app.policy.commands.parameters import ValueRefused
from sessions_app.policy.commands.ssh.decide import Allowed, CompiledSet, CompiledSSHCommand, decide_argv
from sessions_app.policy.commands.ssh.file_rules import Direction, FileRule


def has_files(compiled: CompiledSet) -> bool:
    """Whether a grant has file rules."""
    return any(True for _ in _rules(compiled))


def plain(sent: bytes) -> str:
    """Return a client's path in canonical form, from `/`, without checking that it exists.

    Raises UnicodeDecodeError.
    """
    return posixpath.normpath("/" + sent.decode()).replace("//", "/", 1)


def line_for(direction: Direction, path: str, facts: tuple[str, ...] = ()) -> str:
    """Return the line for a transfer, as decided and recorded.

    A path that can't be quoted is left unquoted, and is refused later.
    """
    try:
        return readable((direction, path, *facts))
    except QuoteRefused:
        return f"{direction} {path}"


def is_shown(name: str) -> bool:
    """Whether a name on the target is shown.

    False if a line can't contain it, or if it leads to another folder.
    """
    return hidden_at(name) is None and name not in (".", "..")


def must_wait(decision: Allowed) -> bool:
    """Whether an upload can be decided only after its size and digest are known."""
    return decision.hold or (decision.transfer is not None and decision.transfer.sha256 != "")


def nearest(compiled: CompiledSet) -> str | None:
    """Return the first rule for files, to show as the nearest allowed one; None if there is none."""
    return next((text_of(rule.words) for rule, _ in _rules(compiled)), None)


def is_folder(compiled: CompiledSet, path: str) -> bool:
    """Whether a path is a folder in the grant: one that can be listed, or the parent of a path that a rule
    names.
    """
    if path == "/" or allows(compiled, "list", path):
        return True
    names = path[1:].split("/")
    return any(len(parts) > len(names) and _begins(rule, parts, names) for rule, parts in _rules(compiled))


def allows(compiled: CompiledSet, direction: Direction, path: str) -> bool:
    """Whether a rule allows this transfer, held or not."""
    return hidden_at(path) is None and isinstance(decide_argv(compiled, (direction, path)), Allowed)


def children(compiled: CompiledSet, path: str) -> list[tuple[str, bool]]:
    """Return the names in a folder that rules write out, and whether each is a folder."""
    above = [] if path == "/" else path[1:].split("/")
    found: dict[str, bool] = {}
    for rule, parts in _rules(compiled):
        if len(parts) > len(above) and _begins(rule, parts, above):
            name = parts[len(above)]
            if len(name) == 1 and isinstance(name[0], str):
                folder = len(parts) > len(above) + 1 or rule.rule.text.startswith("list ")
                if folder or rule.rule.text.startswith("get "):
                    found[name[0]] = found.get(name[0], False) or folder
    return sorted(found.items())


def has_open_names(compiled: CompiledSet, path: str) -> bool:
    """Whether a rule has a parameter for a name directly in a folder, so that `children` is incomplete."""
    above = [] if path == "/" else path[1:].split("/")
    return any(
        len(parts) > len(above)
        and _begins(rule, parts, above)
        and any(isinstance(piece, Slot) for piece in parts[len(above)])
        for rule, parts in _rules(compiled)
    )


def _rules(compiled: CompiledSet) -> Iterator[tuple[CompiledSSHCommand, list[Word]]]:
    """Yield the file rules, each with the names in its path."""
    for command in compiled.commands:
        if isinstance(command.rule, FileRule):
            yield command, _names_of(command.words[1])


def _names_of(path: Word) -> list[Word]:
    """Split a path into one word for each name. No value in a path contains a slash."""
    names: list[list[str | Slot]] = [[]]
    for piece in path:
        if isinstance(piece, Slot):
            names[-1].append(piece)
            continue
        first, *others = piece.split("/")
        if first:
            names[-1].append(first)
        names += [[name] if name else [] for name in others]
    return [tuple(name) for name in names[1:] if name]


def _begins(rule: CompiledSSHCommand, parts: list[Word], names: list[str]) -> bool:
    """Whether the path of a rule can begin with these names."""
    matched: dict[str, str] = {}
    try:
        for part, name in zip(parts, names, strict=False):
            match_word(part, name, rule.types, matched)
    except ValueRefused:
        return False
    return True
