"""The state folder: its location, its secrets, and the URLs of a running `manage.py up` for other
commands.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from broker.embedded.account import may_enter, server_account
from broker.embedded.errors import EmbeddedError
from broker.embedded.lock import holder
from broker.variables import service

REPOSITORY = Path(__file__).resolve().parent.parent.parent
_SYSTEM_STATE_DIR = Path("/var/lib/stint")
_URLS = "urls.json"


class StateDirError(EmbeddedError):
    """The state folder can't be used."""


@dataclass(frozen=True, kw_only=True)
class RunningUrls:
    """The secret key and the servers' URLs of a running `manage.py up`. `queue` is a Celery broker URL."""

    database: str = field(repr=False)
    owner: str = field(repr=False)
    queue: str = field(repr=False)
    secret_key: str = field(repr=False)


def state_dir() -> Path:
    """Return the state folder, STINT_STATE_DIR or `.stint` in the repository, and create it if missing.

    If this process is root, the servers run as a separate account; if that account can't reach the
    repository, the folder is /var/lib/stint. Raises `StateDirError` if the folder can't be created or isn't
    writable.
    """
    chosen = service.STATE_DIR.read()
    path = Path(chosen).absolute() if chosen else _default_state_dir()
    try:
        make_folder(path)
    except OSError as error:
        raise StateDirError(
            f"The state folder {path} can't be created ({error.strerror}). "
            "Set STINT_STATE_DIR to a folder that this account can create."
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateDirError(
            f"The state folder {path} belongs to another account (uid {path.stat().st_uid}). "
            "Run as that account, or set STINT_STATE_DIR to a folder of this account."
        )
    return path


def _default_state_dir() -> Path:
    beside = REPOSITORY / ".stint"
    account = server_account(beside)
    if account is None or may_enter(REPOSITORY, account):
        return beside
    return _SYSTEM_STATE_DIR


def make_folder(path: Path) -> None:
    """Create `path` if it is missing. If this process is root, other accounts can traverse the folder,
    because the servers run as another account.
    """
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)


@contextmanager
def temporary_state_dir(prefix: str = "stint-") -> Iterator[Path]:
    """Yield a new state folder in /tmp that the servers' account can reach, and delete it at the end.

    The folder is directly in /tmp, because a test runner's temporary folders are private and have long names.
    """
    path = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` atomically. Only this account can read the file."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)


def secret_key_file(state: Path) -> Path:
    """Return the file with this state folder's secret key: 32 random bytes as text, created at first use."""
    path = state / "secret_key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32) + "\n")
    return path


def write_urls(state: Path, urls: RunningUrls) -> None:
    """Publish the servers' URLs to other commands, for as long as this process has their lock."""
    write_private(state / _URLS, json.dumps(asdict(urls)))


def remove_urls(state: Path) -> None:
    """Remove the file that `write_urls` wrote."""
    (state / _URLS).unlink(missing_ok=True)


def running_urls(state: Path | None = None) -> RunningUrls | None:
    """Return the URLs of the running `manage.py up`, or None if none uses this state folder.

    Raises `StateDirError` if another account started it.
    """
    folder = state_dir() if state is None else state
    try:
        urls = json.loads((folder / _URLS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except PermissionError:
        raise StateDirError(
            f"`manage.py up` was started by another account, so {folder / _URLS} can't be read. "
            "Run this command as that account."
        ) from None
    if holder(folder / "postgres.lock") is None:
        return None
    return RunningUrls(**urls)
