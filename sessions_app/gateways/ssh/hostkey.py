"""The gateway's own host key: created at the first start, and kept in the state directory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import asyncssh

NAME = "ssh_gateway_host_key"


def host_key(folder: Path) -> asyncssh.SSHKey:
    """Return the host key in the folder, creating it if it is missing. Safe to call from several processes at once."""
    path = folder / NAME
    if not path.exists():
        _make(path)
    return asyncssh.read_private_key(path)


def public_line(key: asyncssh.SSHKey) -> str:
    """Return the public half as known_hosts has it: algorithm and key, without a comment."""
    algorithm, data, *_ = key.export_public_key().decode("ascii").split()
    return f"{algorithm} {data}"


def _make(path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="stint-gateway")
    path.parent.mkdir(parents=True, exist_ok=True)
    # A file from mkstemp is readable only by its owner. Linking it fails if another process was first.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{NAME}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key.export_private_key())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
