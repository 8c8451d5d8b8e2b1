"""Checks of this node: settings, clock, directories and disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import checks

from broker.doctor.finding import Finding, Level, many, of_trouble, ok, wrong
from broker.health import MAX_SKEW
from broker.kernel import clock
from sessions_app.queries.record.recording_content import object_store
from sessions_app.queries.record.recording_files import (
    Rooms,
    free_disk,
    recordings_trouble,
    waiting_recordings,
)
from sessions_app.storage.base import StoreError
from sessions_app.storage.registry import store_at

# Files in the state folder that other accounts on the machine must not be able to read.
SECRET = ("*_key", "*password*", "urls.json", "valkey.conf")


def of_settings() -> Iterator[Finding]:
    """Check the settings, as `manage.py check --deploy` does."""
    ran = checks.run_checks(include_deployment_checks=True, databases=["default"])
    found = [message for message in ran if not message.is_silenced()]
    for message in found:
        yield Finding(
            "settings",
            Level.WRONG if message.level >= checks.ERROR else Level.WARNING,
            str(message.msg),
            "",
            str(message.hint or f"Look up {message.id} in Django's documentation of system checks."),
        )
    if not found:
        yield ok("settings", "no risky settings")


def of_clock() -> Iterator[Finding]:
    """Check this node's clock."""
    skew = clock.skew()
    said = f"{abs(skew):.2f} s {'ahead of' if skew > 0 else 'behind'} the database's"
    if abs(skew) > MAX_SKEW:
        yield wrong(
            "clock",
            said,
            fix="Run `timedatectl set-ntp true` on this node and on the database's.",
            why="Certificates and tokens get their dates from this clock, so targets may refuse them.",
        )
    else:
        yield ok("clock", said)


def of_folders() -> Iterator[Finding]:
    """Check the directories that this node writes to."""
    yield _folder("state folder", Path(settings.STATE_DIR))
    yield _folder("recordings folder", Path(settings.RECORDINGS_DIR))
    yield from _opened_to_others()
    yield _checkpoints(Path(settings.CHECKPOINTS_FILE))
    yield _recordings()


def _folder(what: str, folder: Path) -> Finding:
    if _can_be_filled(folder):
        return ok("folders", f"{what}: {folder}")
    return wrong(
        "folders",
        f"the {what} {folder} is not writable by this account",
        why="Recordings can't be written, so no command runs.",
        fix=f"Run `chown -R $(id -un) {folder}` as root.",
    )


def _opened_to_others() -> Iterator[Finding]:
    state = Path(settings.STATE_DIR)
    for one in sorted(one for name in SECRET for one in state.glob(name)):
        if stat.S_IMODE(one.stat().st_mode) & 0o077:
            yield wrong(
                "folders",
                f"other accounts on this machine can open {one}",
                why="The file contains secrets of this installation.",
                fix=f"Run `chmod go= {one}`.",
            )


def _checkpoints(file: Path) -> Finding:
    if os.access(file, os.W_OK) if file.exists() else _can_be_filled(file.parent):
        return ok("folders", f"checkpoints are kept in {file}")
    return wrong(
        "folders",
        f"the checkpoints file {file} is not writable by this account",
        why=(
            "Without checkpoints outside the database, a rewritten record or a restored backup is not"
            " detected."
        ),
        fix=(
            "Set STINT_CHECKPOINTS_FILE to a file that the worker can append to, on a different disk than the"
            " database."
        ),
    )


def of_store() -> Iterator[Finding]:
    """Check the object store, if recordings go to one."""
    if not settings.RECORDINGS_STORE:
        return
    waiting = waiting_recordings()
    behind = (
        f"{many(waiting.count, 'recording')} ({waiting.bytes / 2**20:,.1f} MiB) waiting"
        if waiting.count
        else "none waiting"
    )
    try:
        object_store().check()
    except StoreError as error:
        yield wrong(
            "folders",
            f"{settings.RECORDINGS_STORE} does not accept recordings: {error.strerror}; {behind}",
            why="Recordings stay on the gateways' disks, and can be watched only there.",
            fix="Check STINT_RECORDINGS_STORE, the AWS_… variables, and that the bucket exists.",
        )
    else:
        yield ok("folders", f"recordings are stored in {settings.RECORDINGS_STORE}; {behind}")


def of_archives() -> Iterator[Finding]:
    """Check the store for archives of the record, if there is one."""
    if not settings.RECORD_STORE:
        return
    try:
        store_at(settings.RECORD_STORE).check()
    except StoreError as error:
        yield wrong(
            "folders",
            f"{settings.RECORD_STORE} does not accept archives of the record: {error.strerror}",
            why="The record is not copied, so it is only in the database.",
            fix="Check STINT_RECORD_STORE, the AWS_… variables, and that the bucket exists.",
        )
    else:
        yield ok("folders", f"the record is archived in {settings.RECORD_STORE}")


def _recordings() -> Finding:
    if trouble := recordings_trouble(Rooms().in_all()):
        return of_trouble("folders", Level.WARNING, trouble)
    disk = free_disk()
    return ok(
        "folders", f"{disk.free / 2**30:.1f} GiB are free for recordings" if disk else "no recordings yet"
    )


def _can_be_filled(folder: Path) -> bool:
    there = _first_there(folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _first_there(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    return next(one for one in (folder, *folder.resolve().parents) if one.exists())
