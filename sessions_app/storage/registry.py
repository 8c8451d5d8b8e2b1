"""Stores by their address: `s3://bucket/prefix` or `file:///folder`."""

from __future__ import annotations

import functools
from pathlib import Path

from sessions_app.storage.base import ObjectStore
from sessions_app.storage.folder import Folder


@functools.lru_cache(maxsize=8)
def store_at(address: str) -> ObjectStore:
    """Return the store at an address that was validated with the settings, one store for each process.

    Raises StoreError.
    """
    kind, _, place = address.partition("://")
    if kind == "file":
        return Folder(Path(place))
    # The library takes half a second to load, so only processes that use it load it.
    from sessions_app.storage.s3 import S3  # noqa: PLC0415

    bucket, _, prefix = place.partition("/")
    prefix = prefix.strip("/")
    return S3(bucket, f"{prefix}/" if prefix else "")
