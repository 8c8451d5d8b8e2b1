"""Files by their places: which a command may read, and where it may write, without a word."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from sessions_app.policy.commands.ssh.table import Places
from sessions_app.policy.commands.ssh.words import Spoken


def file_codes(places: Places, word: Spoken, *, writes: bool) -> Iterator[str]:
    """The dangers of a word that names a file which is read, or written."""
    if word.texts is None:
        yield from _open(places, word.below, writes=writes)
        return
    for text in word.texts:
        path = posixpath.normpath(text)
        if not writes and holds(places.raw, path):
            yield "raw"
        elif writes and not holds(places.not_written, path):
            yield from _written(places, path)


def _written(places: Places, path: str) -> Iterator[str]:
    if path.startswith("..") or _reaches(places.decisive, path):
        yield "writes_decisive"
    elif holds(places.settings, path):
        yield "writes_settings"


def _open(places: Places, folder: str | None, *, writes: bool) -> Iterator[str]:
    """Dangers of any file below a folder. A folder above a place reaches it as well."""
    if folder is None:
        return
    if not writes:
        if _reaches(places.raw, folder):
            yield "raw"
    elif _reaches(places.decisive, folder) or holds(places.homes, folder):
        yield "writes_decisive"
    elif _reaches(places.settings, folder):
        yield "writes_settings"


def keeps_nothing(places: Places, word: Spoken) -> bool:
    """Whether a word can only be a place where nothing that is written stays: `/dev/null`."""
    return word.texts is not None and all(
        holds(places.not_written, posixpath.normpath(text)) for text in word.texts
    )


def holds(listed: Sequence[str], path: str) -> bool:
    """Whether a path is one of the places, or in it."""
    return any(_is_in(place, path) for place in listed)


def _is_in(place: str, path: str) -> bool:
    """`/a` is a file or folder, `/a*` whatever begins so, and `a/b` part of a path wherever it is."""
    if place.endswith("*"):
        return path.startswith(place[:-1])
    return f"{path}/".startswith(f"{place}/") if place.startswith("/") else f"/{place}/" in f"/{path}/"


def _reaches(listed: Sequence[str], folder: str) -> bool:
    above = folder.rstrip("/") + "/"
    return holds(listed, folder) or any(place.startswith(above) for place in listed)
