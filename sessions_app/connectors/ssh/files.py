"""The helper, a script that transfers one file or lists one folder on a target: ``target/transfer.sh``. A
certificate forces it as its command. This module has its words, and reads its output.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sessions_app.connectors.marks import run_mark
from sessions_app.connectors.ssh.target import command_of, read_script
from sessions_app.policy.commands.argv.quoting import quote_argv
from sessions_app.policy.commands.ssh.transfers import Transfer

# The program for which a check of the target looks: the rest of coreutils comes with it.
HELPER_NEEDS = "sha256sum"
MOST_ENTRIES = 10_000
HELPER_SCRIPT = read_script("transfer.sh")
# The meaning of each word that the helper can print, as a clause about a path.
WHY = {
    "folder": "its folder does not exist, or the account can't enter it",
    "elsewhere": "a symbolic link in the path leads to another location",
    "missing": "the file does not exist",
    "special": "it is not a regular file",
    "denied": "the account on the target has no permission",
    "changed": "it was replaced during the transfer; try again",
    "large": "it is larger than the rule allows",
    "exists": "a file with this name exists, and the rule does not replace files",
    "temporary": "the temporary file already exists",
    "write": "it can't be written",
    "incomplete": "the upload was not complete, so nothing was written",
    "digest": "the digest of the received file is different, so nothing was written",
}
# Reasons that have their own SFTP status.
MISSING, DENIED = frozenset({"missing", "folder"}), frozenset({"elsewhere", "denied", "special"})


@dataclass(frozen=True, slots=True)
class Helper:
    """The words of one transfer, for the helper's script, and the secret that commits an upload."""

    words: tuple[str, ...]
    token: str = ""

    def commit(self, sha256: str) -> bytes:
        """Return the data that commits a file. It is sent after the file's last byte."""
        return f"{self.token}{sha256}".encode("ascii")


def temporary_name(grant_mark: str, run_id: int) -> str:
    """Return the name under which a run writes a file until it is complete."""
    return f".stint-{run_mark(grant_mark, run_id).value}"


def helper_of(transfer: Transfer, *, grant_mark: str, run_id: int) -> Helper:
    """Return the helper of a decided transfer."""
    folder, name = posixpath.split(transfer.path)
    if transfer.direction == "list":
        return Helper(("list", transfer.path, str(MOST_ENTRIES)))
    if transfer.direction == "get":
        return Helper(("get", folder, name, str(transfer.most)))
    token = secrets.token_hex(32)
    words = (
        "put",
        folder,
        name,
        temporary_name(grant_mark, run_id),
        str(transfer.most),
        transfer.mode,
        "yes" if transfer.replace else "no",
        hashlib.sha256(token.encode()).hexdigest(),
        transfer.sha256,
    )
    return Helper(words, token)


def clean_command(paths: Sequence[str]) -> str:
    """Return the command line that removes these temporary files, if their folders are unchanged."""
    return f"exec timeout -s KILL 20 {command_of(HELPER_SCRIPT)} {quote_argv(['clean', *paths])}"


# The helper's output.

_SAID = re.compile(rb"ok(?: (\d{1,15}) (\d{1,12}))?|done (\d{1,15}) ([0-9a-f]{64})|no ([a-z]{1,20})")


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the helper's output: ``ok`` (with a file's size and time), ``done`` (with an upload's size
    and digest) or ``no`` (with the helper's word).
    """

    word: str
    size: int = 0
    time: int = 0
    sha256: str = ""


def parse_said(line: bytes) -> Said | None:
    """Parse one line, without its line break; None for anything else."""
    found = _SAID.fullmatch(line)
    if found is None:
        return None
    size, time, written, digest, reason = found.groups()
    if reason is not None:
        return Said(reason.decode())
    if written is not None:
        return Said("done", int(written), sha256=digest.decode())
    return Said("ok", int(size or 0), int(time or 0))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a listed folder.

    ``mode`` includes the file's type, as in stat(2); ``time`` is the time of the last change.
    """

    name: str
    mode: int
    size: int
    time: int


_ENTRY = re.compile(rb"([0-9a-f]{1,8}) (\d{1,19}) (-?\d{1,12}) \./([^/\0]+)")


def parse_entries(records: bytes) -> tuple[list[Entry], bool] | None:
    """Parse a listing without its first line: its entries, and whether it is complete; None for anything
    else.

    Names that are not text are left out.
    """
    *found, last, rest = records.split(b"\0") if records.endswith((b"end\0", b"more\0")) else [b"", b"x"]
    if rest:
        return None
    entries = []
    for record in found:
        match = _ENTRY.fullmatch(record)
        if match is None:
            return None
        try:
            entries.append(Entry(match[4].decode(), int(match[1], 16), int(match[2]), int(match[3])))
        except UnicodeDecodeError:
            continue
    return entries, last == b"end"


def leftovers(runs: Iterable[tuple[int, Sequence[str]]], grant_mark: str) -> list[str]:
    """Return the temporary files that these runs may have left. Each run has its id and its words."""
    return [
        posixpath.join(posixpath.dirname(argv[1]), temporary_name(grant_mark, run_id))
        for run_id, argv in runs
        if len(argv) > 1 and argv[0] == "put"
    ]
