"""An object store in a folder, for example on a file system that several machines share."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sessions_app.storage.base import StoredObject, StoreError, Stream


class Folder:
    """Objects as files below ``root``. The folder must exist, because a file system that isn't mounted must
    not be taken for an empty store.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, source: BinaryIO) -> None:
        """See ObjectStore."""
        with _asked():
            self._find_root()
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, written = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    shutil.copyfileobj(source, file)
                    file.flush()
                    os.fsync(descriptor)
                Path(written).replace(path)
            except OSError:
                Path(written).unlink(missing_ok=True)
                raise

    def size(self, name: str) -> int | None:
        """See ObjectStore."""
        with _asked():
            self._find_root()
            path = self._root / name
            return path.stat().st_size if path.is_file() else None

    def read(self, name: str, start: int) -> Stream:
        """See ObjectStore."""
        with _asked():
            file = (self._root / name).open("rb")
            file.seek(start)
            return file

    def delete(self, name: str) -> None:
        """See ObjectStore."""
        with _asked():
            self._find_root()
            (self._root / name).unlink(missing_ok=True)

    def objects(self, folder: str) -> Iterator[StoredObject]:
        """See ObjectStore."""
        with _asked():
            self._find_root()
            for path in (self._root / folder).rglob("*"):
                if path.is_file():
                    changed = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
                    yield StoredObject(path.relative_to(self._root).as_posix(), changed)

    def check(self) -> None:
        """See ObjectStore."""
        with _asked():
            self._find_root()
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise StoreError(f"{self._root} is not writable by this account")

    def _find_root(self) -> None:
        if not self._root.is_dir():
            raise StoreError(f"the folder {self._root} does not exist")


@contextmanager
def _asked() -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from error
