"""Sensitive file locations, for which the linter reports commands that read or write there.

Paths are resolved as the system does: `//etc/./x` is /etc/x. A path without a leading `/` is in the login
account's home folder, where a session begins.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from sessions_app.policy.commands.ssh.table import Places
from sessions_app.policy.commands.ssh.words import Spoken

_ROOT_AGAIN = re.compile(r"^(/proc/[^/]+(/task/[^/]+)?/root)+(?=/|$)")
_HERE = "."


def located(text: str) -> str:
    """Return the absolute location of a path, as far as its text shows."""
    path = re.sub(r"^//+", "/", posixpath.normpath(text))
    path = _ROOT_AGAIN.sub("", path) or "/"
    return re.sub(r"^/var/run(?=/|$)", "/run", path)


def is_secret(places: Places, text: str) -> bool:
    """Whether a word names a file with passwords or keys, including after `--option=`."""
    candidates = (text, *(f"/{located(part)}/" for part in {text, text.rpartition("=")[2]}))
    return any(secret in one for secret in places.secrets for one in candidates)


def file_codes(places: Places, word: Spoken, *, writes: bool) -> Iterator[str]:
    """Yield the dangers of a word that names a file to read or write."""
    if word.texts is None:
        yield from _open(places, word.below, writes=writes)
        if _may_be_hidden(places, word, writes=writes):
            yield "writes_decisive" if writes else "secrets_below"
        return
    for path in map(located, word.texts):
        if writes and not holds(places.not_written, path):
            yield from _written(places, path)
        elif not writes:
            yield from _read(places, path)


def _written(places: Places, path: str) -> Iterator[str]:
    if path.startswith("..") or _reaches(places.decisive, path):
        yield "writes_decisive"
    elif _reaches(places.traces, path):
        yield "erases_logs"
    elif holds(places.settings, path):
        yield "writes_settings"
    elif _is_home(places, path):
        yield "writes_home"


def _read(places: Places, path: str) -> Iterator[str]:
    if holds(places.raw, path) and not holds(places.not_written, path):
        yield "raw"
    elif _is_home(places, path) or _above((*places.secrets, *places.raw), path):
        yield "secrets_below"


def _open(places: Places, folder: str | None, *, writes: bool) -> Iterator[str]:
    """Yield the dangers of any file below a folder, including dangers of listed locations deeper in the
    tree.
    """
    if folder is None:
        return
    folder = located(folder)
    if not writes:
        if _reaches(places.raw, folder):
            yield "raw"
        if is_secret(places, folder) or _above(places.secrets, folder) or _is_home(places, folder):
            yield "secrets_below"
    elif _reaches(places.decisive, folder) or holds(places.homes, folder):
        yield "writes_decisive"
    elif _reaches(places.traces, folder):
        yield "erases_logs"
    elif _reaches(places.settings, folder):
        yield "writes_settings"


def _may_be_hidden(places: Places, word: Spoken, *, writes: bool) -> bool:
    """Whether a free name can be that of a sensitive file in home folders, such as `.bashrc` or `.pgpass`.

    For a path, only its folder is compared.
    """
    if word.takes_paths or not (word.may_fit(".*") or word.may_fit("*/.*")):
        return False
    names = (place.strip("/") for place in (places.decisive if writes else places.secrets))
    return any(word.may_be(name) or word.may_fit(f"*/{name}") for name in names if name.startswith("."))


def keeps_nothing(places: Places, word: Spoken) -> bool:
    """Whether a word can only be a place that discards what is written to it, such as `/dev/null`."""
    return word.texts is not None and all(holds(places.not_written, located(text)) for text in word.texts)


def holds(listed: Sequence[str], path: str) -> bool:
    """Whether a path is one of the places, or inside one."""
    return any(_is_in(place, path) for place in listed)


def _is_in(place: str, path: str) -> bool:
    """Whether a path is in a place. `/a` is a file or folder, `*` matches any characters, and `a/b` can be
    anywhere in a path.
    """
    if "*" in place:
        return fnmatchcase(path, place) or fnmatchcase(path, f"{place}/*")
    return f"{path}/".startswith(f"{place}/") if place.startswith("/") else f"/{place}/" in f"/{path}/"


def _reaches(listed: Sequence[str], folder: str) -> bool:
    return holds(listed, folder) or _above(listed, folder)


def _above(listed: Sequence[str], folder: str) -> bool:
    """Whether one of the places is in this folder."""
    above = folder.rstrip("/") + "/"
    return any(place.startswith(above) for place in listed)


def _is_home(places: Places, path: str) -> bool:
    """Whether a path is or could be someone's home folder, or is the parent of all of them."""
    return (
        path in (_HERE, *places.homes) or path.startswith("..") or posixpath.dirname(path).endswith("/home")
    )
