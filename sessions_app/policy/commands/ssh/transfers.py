"""File transfers over SFTP, each as a line that can be parsed, limited and shown.

A transfer is decided, held and recorded as a line: `get PATH`, `list PATH` or `put PATH`. A `put` can state
the file's size and digest, which the gateway adds once it has the whole file: `put PATH size=N sha256=HEX`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sessions_app.policy.commands.argv.templates import Slot, Word
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.sizes import say_bytes
from sessions_app.policy.commands.ssh.file_rules import (
    DIRECTIONS,
    SHA256,
    Direction,
    FileRule,
    GetFile,
    PutFile,
    folder_of,
    path_fault,
)

_FACT = re.compile(r"size=(?P<size>0|[1-9][0-9]{0,14})|sha256=(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Facts:
    """The content of a file as stated in a line: its size in bytes and its SHA-256 in hex, if known."""

    size: int | None = None
    sha256: str = ""

    def words(self) -> tuple[str, ...]:
        """The words of a line that state these facts."""
        size = () if self.size is None else (f"size={self.size}",)
        return (*size, *((f"sha256={self.sha256}",) if self.sha256 else ()))


@dataclass(frozen=True, slots=True)
class Transfer:
    """An allowed transfer of at most ``most`` bytes (a list has no limit of its own).

    ``sha256`` is the only digest that the file may have, in hex; empty for any. ``mode`` are the permissions
    of an uploaded file, in octal.
    """

    direction: Direction
    path: str
    most: int = 0
    sha256: str = ""
    mode: str = ""
    replace: bool = False


def is_transfer(argv: tuple[str, ...]) -> bool:
    """Whether these words name a transfer, not a program."""
    return argv[:1] != () and argv[0] in DIRECTIONS


def old_protocol(argv: tuple[str, ...]) -> str | None:
    """Return the transfer that the remote side of scp or rsync would do, as a line; None for other programs.

    Before OpenSSH 9, scp runs itself on the remote side (`scp -f PATH` to send, `scp -t PATH` to receive),
    and rsync always does (`rsync --server`).
    """
    program, options = argv[0].rpartition("/")[2], set(argv[1:-1])
    if program == "scp" and options & {"-f", "-t"}:
        return f"{'get' if '-f' in options else 'put'} {argv[-1]}"
    if program == "rsync" and "--server" in options:
        return f"{'get' if '--sender' in options else 'put'} {argv[-1]}"
    return None


def split_facts(argv: tuple[str, ...]) -> tuple[tuple[str, ...], Facts]:
    """Return the words of a line without the facts about a file's content, and those facts."""
    if not is_transfer(argv) or argv[0] != "put":
        return argv, Facts()
    found = [_FACT.fullmatch(word) for word in argv[2:]]
    said = [match.lastgroup for match in found if match]
    if len(said) < len(found) or said not in (["size"], ["sha256"], ["size", "sha256"]):
        return argv, Facts()
    of = {str(match.lastgroup): match[str(match.lastgroup)] for match in found if match}
    return argv[:2], Facts(int(of["size"]) if "size" in of else None, of.get("sha256", ""))


def word_fault(argv: tuple[str, ...]) -> str | None:
    """Return, as a clause, why a transfer's words can't name a file under any rules; None if they can."""
    return path_fault(argv[1]) if is_transfer(argv) and len(argv) > 1 else None


def transfer_of(rule: FileRule, path: str, digest: str, facts: Facts) -> Transfer:
    """Return the transfer that a rule allows for a path.

    ``digest`` is the only digest that the rule accepts.
    """
    if isinstance(rule, PutFile):
        # A second person's approval is for exactly one content.
        return Transfer("put", path, rule.max, digest or facts.sha256, rule.mode, rule.replace)
    return Transfer(rule.direction, path, rule.max if isinstance(rule, GetFile) else 0)


def content_fault(rule: FileRule, digest: str, facts: Facts) -> str | None:
    """Return, as a clause, why a rule refuses this content; None if it accepts it, or doesn't know it yet."""
    if not isinstance(rule, PutFile):
        return None
    if facts.size is not None and facts.size > rule.max:
        return f"the file has {facts.size} bytes, but at most {say_bytes(rule.max)} are allowed"
    if digest and facts.sha256 and facts.sha256 != digest:
        return f"the file has the SHA-256 {facts.sha256[:16]}…, but only {digest[:16]}… is allowed"
    return None


def limits(rule: FileRule, digest: str) -> tuple[int, bool, bool]:
    """Return the part of a sort key that puts the stricter of two rules first."""
    if isinstance(rule, PutFile):
        return rule.max, not digest, rule.replace
    return (rule.max if isinstance(rule, GetFile) else 0), False, False


def laxer(inner: FileRule, outer: FileRule, digests: tuple[str, str]) -> str | None:
    """Return, as a clause, how one rule allows more for a file than the other does; None if it doesn't.

    ``digests`` are the only digests that each rule accepts; empty for any.
    """
    if isinstance(inner, GetFile) and isinstance(outer, GetFile) and inner.max > outer.max:
        return "would allow larger files"
    if not isinstance(inner, PutFile) or not isinstance(outer, PutFile):
        return None
    if inner.max > outer.max:
        return "would allow larger files"
    # A digest without a value is compared by its parameter.
    if (outer.sha256 is not None or digests[1]) and digests[0] != digests[1]:
        return "would accept other content"
    if outer.sha256 is not None and not digests[1] and inner.sha256 != outer.sha256:
        return "would accept other content"
    if inner.replace and not outer.replace:
        return "would replace files"
    if inner.mode != outer.mode:
        return "would set other permissions"
    return None


def said_of(rule: FileRule, word: Word, digest: str) -> Iterator[str]:
    """Yield, for approvers, what a rule allows and its limits. ``word`` is the rule's path."""
    what = _what(word)
    if isinstance(rule, GetFile):
        yield f"Download {what}, at most {say_bytes(rule.max)}{' each' if _is_open(word) else ''}"
    elif isinstance(rule, PutFile):
        each = " each" if _is_open(word) else ""
        yield (
            f"{'Upload or replace' if rule.replace else 'Upload new'} {what},"
            f" at most {say_bytes(rule.max)}{each}, with mode {rule.mode}"
        )
        if rule.sha256 is not None:
            yield f"Only content with the SHA-256 {digest or '{' + str(rule.digest_name) + '}'}"
    else:
        yield f"List the names, sizes and times of everything in {_text(word)}"


def _what(word: Word) -> str:
    if not _is_open(word):
        return f"the file {_text(word)}"
    found = folder_of(word)
    if found is None:
        return f"files {_text(word)}"
    folder, name = found
    plain = len(name) == 1 and isinstance(name[0], Slot)
    return f"files of {folder} by name" if plain else f"files {_text(name)} in {folder}"


def _is_open(word: Word) -> bool:
    return any(isinstance(piece, Slot) for piece in word)


def _text(word: Word) -> str:
    return "".join(f"{{{piece.name}}}" if isinstance(piece, Slot) else piece for piece in word)


def value_fault(name: str, value: str) -> str | None:
    """Return, as a clause, why a value can't be part of a file's path; None if it can."""
    return f"{name} must not contain “/”: {clip(value)} leads to another folder" if "/" in value else None


def digest_fault(value: str) -> str | None:
    """Return, as a clause, why a value is not a SHA-256; None if it is."""
    return None if SHA256.fullmatch(value) else "must be a SHA-256 of 64 hexadecimal digits in lowercase"
