"""What an object store does for Stint: keep objects by name, and give them back from any byte on."""

from __future__ import annotations

import datetime as dt
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


class StoreError(OSError):
    """The store did not do what it was asked for; the message says why. It may later."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EIO, why)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's name, and when it was written."""

    name: str
    changed_at: dt.datetime


class Stream(Protocol):
    """The bytes of an object, in order. Raises StoreError."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``; none at the end."""

    def close(self) -> None:
        """End the reading."""


class ObjectStore(Protocol):
    """A store. Names are paths of lowercase letters, digits, ``.`` and ``-``. Every method raises StoreError."""

    def put(self, name: str, source: BinaryIO) -> None:
        """Write an object, all of ``source`` or nothing. An object of this name is replaced."""

    def size(self, name: str) -> int | None:
        """Return the size of an object in bytes; None if there is none."""

    def read(self, name: str, start: int) -> Stream:
        """Return the bytes of an object from ``start`` on."""

    def delete(self, name: str) -> None:
        """Delete an object. It is no error if there is none."""

    def objects(self, folder: str) -> Iterator[StoredObject]:
        """Yield all objects whose names begin with ``folder`` and a slash."""

    def check(self) -> None:
        """Ask whether the store can be reached and used."""
