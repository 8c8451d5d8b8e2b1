"""Paths of recordings, their size limits, and how long they are kept."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Min, QuerySet, Sum
from django.db.models.functions import Coalesce

from broker.kernel.postgresql.rows import ask
from sessions_app.models import AccessPolicy, CommandRun, StoredRecording
from sessions_app.policy import references
from sessions_app.queries.requests.facts import readable_document

# For how many seconds a process caches the total size of all recordings. The size for a grant is read each
# time.
_TOTAL_HOLDS_S = 60.0
# Administrators are warned beyond these shares of the limit for recordings, and of the disk's free space.
_NEARLY_FULL = 0.8
_DISK_LEFT, _DISK_LEFT_BYTES = 0.05, 2**30
# An unreported file that has not changed for this long is no longer being written.
QUIET = dt.timedelta(minutes=1)
_GRANT, _FILE = re.compile(references.GRANT), re.compile(r"([1-9][0-9]{0,17})\.cast")


@dataclass(frozen=True, slots=True)
class Room:
    """The space left for a recording in bytes, and a description of the limit that determines it."""

    bytes: int
    limit: str


def recording_path(grant_ref: str, run_id: int) -> str:
    """Return the path to which the gateway writes the recording of a run, relative to the recordings
    folder.
    """
    return f"{grant_ref}/{run_id}.cast"


def run_of(path: str) -> int:
    """Return the id of the run in a recording's path."""
    return int(path.rpartition("/")[2].partition(".")[0])


def recording_files(folder: Path) -> Iterator[str]:
    """Yield the paths, below ``folder``, of all files that are named like recordings. Raises OSError."""
    with os.scandir(folder) as grants:
        for grant in grants:
            if _GRANT.fullmatch(grant.name) and grant.is_dir(follow_symlinks=False):
                with os.scandir(grant) as files:
                    yield from (
                        f"{grant.name}/{file.name}"
                        for file in files
                        if _FILE.fullmatch(file.name) and file.is_file(follow_symlinks=False)
                    )


def changed_at(file: Path) -> dt.datetime:
    """Return when a file was last written. Raises OSError."""
    return dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)


_OF_GRANT = (
    "SELECT coalesce(sum(recording_bytes), 0)::bigint FROM sessions_app_commandrun WHERE grant_id = %s"
)


class Rooms:
    """The space that one process may still use for recordings."""

    def __init__(self) -> None:
        self._total, self._asked = 0, float("-inf")

    def room_for(self, *, grant_id: int) -> Room:
        """Return the space for another recording of a grant: the smallest space that the limits for a
        command, the grant and all recordings leave.
        """
        ((kept,),) = ask(_OF_GRANT, grant_id)
        return min(
            Room(settings.RECORDING_BYTES, f"a command has {_mib(settings.RECORDING_BYTES)}"),
            _left(settings.RECORDINGS_BYTES_PER_GRANT, kept, "this grant's recordings have {}"),
            _left(settings.RECORDINGS_BYTES, self.in_all(), "all recordings have {}"),
            *_left_on_disk(),
            key=lambda room: room.bytes,
        )

    def in_all(self) -> int:
        """Return the size of all stored recordings, cached for up to a minute because counting reads every
        row.
        """
        if time.monotonic() - self._asked > _TOTAL_HOLDS_S:
            self._total, self._asked = kept_bytes(CommandRun.objects.all()), time.monotonic()
        return self._total


def _left(limit: int, kept: int, words: str) -> Room:
    return Room(max(0, limit - kept), words.format(_mib(limit)))


def _left_on_disk() -> Iterator[Room]:
    """Yield the space left on disk if recordings wait for the object store, so that they don't fill the
    disk while the store is unreachable.
    """
    disk = free_disk() if settings.RECORDINGS_STORE else None
    if disk is not None:
        yield Room(
            max(0, disk.free - disk.reserve), "recordings wait for the store, and the disk is almost full"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:g} MiB"


def kept_bytes(runs: QuerySet[CommandRun]) -> int:
    """Return the total size of the recording files of these runs, in bytes."""
    return runs.filter(recording_bytes__gt=0).aggregate(kept=Sum("recording_bytes"))["kept"] or 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """The recordings that wait for the object store: their number, their size in bytes, and the time since
    which the oldest has waited.
    """

    count: int
    bytes: int
    since: dt.datetime | None


def waiting_recordings() -> Waiting:
    """Return the recordings that wait for the object store, on all machines."""
    found = StoredRecording.objects.filter(stored_at__isnull=True).aggregate(
        count=Count("pk"), bytes=Coalesce(Sum("run__recording_bytes"), 0), since=Min("waits_since")
    )
    return Waiting(**found)


def recordings_trouble(kept: int) -> str:
    """Return the problem that will soon prevent recording, if all recordings take up ``kept`` bytes; empty
    if there is none.
    """
    most = settings.RECORDINGS_BYTES
    if kept >= most * _NEARLY_FULL:
        return (
            f"recordings take {_mib(kept)} of {_mib(most)}, and output beyond that is not recorded: "
            "keep recordings for a shorter time, or increase STINT_RECORDINGS_MIB"
        )
    disk = free_disk()
    if disk is not None and disk.free < disk.reserve:
        return (
            f"the disk with the recordings has {_mib(disk.free)} left, and commands are cut when the "
            "disk is full: free up space"
        )
    return ""


@dataclass(frozen=True, slots=True)
class Disk:
    """The size of a disk and its free space, in bytes."""

    total: int
    free: int

    @property
    def reserve(self) -> int:
        """The free space below which administrators are warned."""
        return int(min(self.total * _DISK_LEFT, _DISK_LEFT_BYTES))


def free_disk() -> Disk | None:
    """Return the state of the disk with the recordings; None if this process can't access their folder."""
    try:
        usage = shutil.disk_usage(Path(settings.RECORDINGS_DIR))
    except OSError:
        return None
    return Disk(usage.total, usage.free)


def too_old(policy: AccessPolicy, now: dt.datetime) -> dt.datetime:
    """Return the time before which recordings under a policy are too old to be kept.

    A policy that is unreadable or sets no retention time uses the default.
    """
    document = readable_document(policy)
    asked = document.recordings if document else None
    return now - (dt.timedelta(seconds=asked.keep) if asked else dt.timedelta(days=settings.RECORDINGS_DAYS))
