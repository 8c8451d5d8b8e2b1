"""The helper, a script that transfers one file or lists one folder on a target. A certificate forces it as
its command.

The helper needs POSIX sh, coreutils and /proc. It enters the folder first and compares the folder's location
(`pwd -P`) with the decided path. All later steps are relative to this folder, so replacing a parent folder in
between has no effect. An opened file is checked by its descriptor in /proc, not by its name. The helper
writes to a temporary name, which contains the grant mark, and links the descriptor itself to the final name.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sessions_app.connectors.marks import run_mark
from sessions_app.policy.commands.argv.quoting import quote_argv
from sessions_app.policy.commands.ssh.transfers import Transfer

# The program for which a check of the target looks: the rest of coreutils comes with it.
HELPER_NEEDS = "sha256sum"
MOST_ENTRIES = 10_000
# Characters of a commit: a token and a digest, in hex.
COMMIT = 128

_COMMON = (
    "LC_ALL=C; export LC_ALL; dir=$1 name=$2; shift 2; "
    'no() { echo "no $1"; exit 1; }; '
    'cd -P -- "$dir" 2>/dev/null || no folder; [ "$(env pwd -P)" = "$dir" ] || no elsewhere; '
)
_PATH = "path=${dir%/}/$name fd=/proc/$$/fd/4; "
_GET = (
    f"{_COMMON}{_PATH}most=$1; "
    'if [ -L "./$name" ]; then no elsewhere; fi; [ -e "./$name" ] || no missing; '
    '[ -f "./$name" ] || no special; '
    '[ -r "./$name" ] || no denied; exec 4<"./$name"; '
    '[ "$(readlink "$fd")" = "$path" ] || no changed; '
    "set -- $(stat -L -c '%f %s %Y' \"$fd\"); case $1 in 8???) ;; *) no special ;; esac; "
    '[ "$2" -le "$most" ] || no large; echo "ok $2 $3"; '
    'exec dd bs=128K count="$2" iflag=count_bytes status=none <&4'
)
_LIST = (
    f"{_COMMON}most=$1; [ -r . ] || no denied; echo ok; "
    "show() { [ $# = 0 ] || stat --printf '%f %s %Y %n\\0' -- \"$@\" 2>/dev/null; }; "
    'set --; for file in * .[!.]* ..?*; do [ -e "./$file" ] || [ -L "./$file" ] || continue; '
    '[ "$most" -gt 0 ] || { show "$@"; printf "more\\0"; exit 0; }; most=$((most - 1)); '
    'set -- "$@" "./$file"; [ $# -lt 200 ] || { show "$@"; set --; }; done; show "$@"; printf "end\\0"'
)
# The input ends with a commit. Without a valid one, as after a lost connection, nothing is published. With
# `nocache`, dd starts to write to the disk immediately, so that less is left for the sync. While it writes,
# the file is read back for its digest, except for as many bytes as the commit has. What can't be read back
# meanwhile, such as on systems that hide the descriptors of processes, is read at the end.
# The shell with the traps only waits, because a trap can run at once only during `wait`, and a signal that
# arrives at a new subshell before it has reset its traps is lost.
_PUT = (
    f"{_COMMON}{_PATH}temp=./$1 most=$2 mode=$3 replace=$4 token=$5 want=$6; "
    '[ -d "./$name" ] && no special; if [ "$replace" = yes ]; then '
    'if [ -L "./$name" ]; then no elsewhere; fi; [ ! -e "./$name" ] || [ -f "./$name" ] || no special; '
    'else [ ! -e "./$name" ] && [ ! -L "./$name" ] || no exists; fi; '
    '[ -w . ] || no denied; [ ! -e "$temp" ] && [ ! -L "$temp" ] || no temporary; '
    "umask 077; set -C; trap 'rm -f -- \"$temp\"' EXIT; trap 'exit 143' TERM HUP INT; "
    f'measure() {{ size=$(($(stat -L -c %s "$fd") - {COMMIT})); }}; '
    'back() { measure; more=$((size - at)); [ "$more" -gt "$1" ] || return 0; at=$size; '
    'dd bs=256K count="$more" iflag=count_bytes status=none <&5; }; '
    'both() { exec 5<"$fd"; at=0; '
    f'dd bs=256K count="$((most + {COMMIT} + 1))" iflag=fullblock,count_bytes '
    "oflag=nocache status=none <&3 >&4 5<&- 6>&- & "
    "set -- 0.01 0.02 0.04 0.08 0.16; "
    'while [ -e "/proc/$!/fd/0" ]; do sleep "$1" 2>/dev/null || sleep 1; [ $# = 1 ] || shift; '
    "back 1000000; done; "
    "wait $! || echo write >&6; back 0; }; "
    "receive() { found=$(exec 6>&1; both | sha256sum); "
    "case $found in write*) no write ;; esac; measure; "
    f'[ "$size" -ge 0 ] || no incomplete; [ "$size" -le "$most" ] || no large; '
    f'commit=$(tail -c {COMMIT} "$fd" | tr -c "0-9a-f" x); digest=$(printf %s "$commit" | cut -c 65-); '
    '[ "$(printf %s "$commit" | cut -c -64 | tr -d "\\n" | sha256sum)" = "$token  -" ] || no incomplete; '
    'truncate -s "$size" "$fd" && sync "$fd" || no write; found=${found%% *}; '
    '[ "$found" = "$digest" ] || no digest; [ -z "$want" ] || [ "$found" = "$want" ] || no digest; '
    'chmod "$mode" "$fd" && sync "$fd" || no write; '
    'if [ "$replace" = yes ]; then mv -fT -- "$temp" "./$name" || no write; '
    'else ln -LT -- "$fd" "./$name" || { [ -e "./$name" ] && no exists; no write; }; rm -f -- "$temp"; fi; '
    '[ "$(stat -c %d:%i "./$name")" = "$(stat -L -c %d:%i "$fd")" ] || no changed; '
    'sync .; echo "done $size $found"; }; '
    'exec 3<&0 4>"$temp"; echo ok; receive & wait $!'
)
_CLEAN = (
    'for path; do folder=${path%/*}/; cd -P -- "$folder" 2>/dev/null || continue; at=$(env pwd -P); '
    '[ "${at%/}/" != "$folder" ] || rm -f -- "./${path##*/}" || exit 1; done; echo "done"'
)

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
    """The words of one transfer's helper, and the secret that commits an upload."""

    argv: tuple[str, ...]
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
        return Helper(_script(_LIST, transfer.path, "", str(MOST_ENTRIES)))
    if transfer.direction == "get":
        return Helper(_script(_GET, folder, name, str(transfer.most)))
    token = secrets.token_hex(32)
    more = (
        temporary_name(grant_mark, run_id),
        str(transfer.most),
        transfer.mode,
        "yes" if transfer.replace else "no",
        hashlib.sha256(token.encode()).hexdigest(),
        transfer.sha256,
    )
    return Helper(_script(_PUT, folder, name, *more), token)


def clean_command(paths: Sequence[str]) -> str:
    """Return the command line that removes these temporary files, if their folders are unchanged."""
    return "exec " + quote_argv(["timeout", "-s", "KILL", "20", *_script(_CLEAN, *paths)])


def _script(text: str, *words: str) -> tuple[str, ...]:
    return ("sh", "-c", text, "stint", *words)


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
