"""The interface of an object store: store objects by name, and read them from any offset."""

from __future__ import annotations

import datetime as dt
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


class StoreError(OSError):
    """The store failed to perform an operation. The message gives the reason. A retry may succeed."""

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
        """Return the next bytes, at most ``size``; empty at the end."""

    def close(self) -> None:
        """Close the stream."""


class ObjectStore(Protocol):
    """A store. Names are paths of lowercase letters, digits, ``.`` and ``-``. Every method raises
    StoreError.
    """

    def put(self, name: str, source: BinaryIO) -> None:
        """Write all of ``source`` as an object, or nothing.

        An existing object with this name is replaced.
        """

    def size(self, name: str) -> int | None:
        """Return the size of an object in bytes; None if there is no such object."""

    def read(self, name: str, start: int) -> Stream:
        """Return the bytes of an object from the offset ``start``."""

    def delete(self, name: str) -> None:
        """Delete an object. A missing object is not an error."""

    def objects(self, folder: str) -> Iterator[StoredObject]:
        """Yield all objects whose names begin with ``folder`` and a slash."""

    def check(self) -> None:
        """Check whether the store can be reached and used."""
