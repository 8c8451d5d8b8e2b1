"""The file with the ends of the user's grants, from which the shell's prompt shows the time left.

One line for each grant, the earliest end first: the end in seconds since the epoch, the reference, and the
server. Commands that see a grant update it, because a prompt must not wait for the network.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import served
from .profiles import name_for
from .screen import moment
from .shell import Shell, cache_folder

Row = Mapping[str, Any]
_LINE = re.compile(rf"(\d{{1,12}}) ({served.GRANT}) (\S+)")
_USABLE = ("active", "provisioning")
# By reference and server.
Ends = dict[tuple[str, str], int]


def path(env: Mapping[str, str]) -> Path:
    """Return the path of the file."""
    return Path(cache_folder(env)) / "prompt"


def note(shell: Shell, grant: Row) -> None:
    """Add one of the user's own grants, or remove it if it has ended."""
    _update(shell, lambda ends: {**_without(ends, shell, str(grant["ref"])), **_ends(shell, [grant])})


def note_all(shell: Shell, grants: Iterable[Row]) -> None:
    """Replace the user's grants on this server."""
    host = _host(shell)
    _update(
        shell,
        lambda ends: {**{key: end for key, end in ends.items() if key[1] != host}, **_ends(shell, grants)},
    )


def drop(shell: Shell, ref: str) -> None:
    """Remove a grant that has ended."""
    _update(shell, lambda ends: _without(ends, shell, ref))


def _without(ends: Ends, shell: Shell, ref: str) -> Ends:
    return {key: end for key, end in ends.items() if key != (ref, _host(shell))}


def _ends(shell: Shell, grants: Iterable[Row]) -> Ends:
    found: Ends = {}
    for grant in grants:
        ends = moment(grant["expires_at"])
        if grant["state"] in _USABLE and ends is not None and re.fullmatch(served.GRANT, str(grant["ref"])):
            found[str(grant["ref"]), _host(shell)] = int(ends.timestamp())
    return found


def _host(shell: Shell) -> str:
    return name_for(shell.wire.url)


def _update(shell: Shell, change: Callable[[Ends], Ends]) -> None:
    """Change the file. The prompt is a convenience, so an error must not stop the command."""
    with contextlib.suppress(OSError):
        file = path(shell.env)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        before = {(one[2], one[3]): int(one[1]) for one in map(_LINE.fullmatch, lines) if one}
        after = change(dict(before))
        if after == before:
            return
        temporary = file.with_suffix(f".{os.getpid()}")
        ordered = sorted((end, *key) for key, end in after.items())
        temporary.write_text("".join(f"{end} {ref} {host}\n" for end, ref, host in ordered), encoding="utf-8")
        temporary.replace(file)
