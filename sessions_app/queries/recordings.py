"""Where recordings are, how much room there is for one more, and when one is old."""

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
from django.db.models import QuerySet, Sum

from sessions_app.models import AccessPolicy, CommandRun
from sessions_app.queries.facts import readable_document

# For so long a process goes by what was kept in all when it last asked; a grant's own is asked for each time.
_TOTAL_HOLDS_S = 60.0
# From then on people are told: of what may be kept, and of what the disk has left.
_NEARLY_FULL = 0.8
_DISK_LEFT, _DISK_LEFT_BYTES = 0.05, 2**30
# A file that nobody reported and that has not changed for so long is written no more.
QUIET = dt.timedelta(minutes=1)
_GRANT, _FILE = re.compile(r"GR-[0-9A-Z]{4,13}"), re.compile(r"([1-9][0-9]{0,17})\.cast")


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes a recording may have, and which limit that is, in words."""

    bytes: int
    limit: str


def recording_path(grant_ref: str, run_id: int) -> str:
    """Return where the gateway writes the recording of a run, below the recordings' folder."""
    return f"{grant_ref}/{run_id}.cast"


def run_of(path: str) -> int:
    """Return the id of the run that a recording's path names."""
    return int(path.rpartition("/")[2].partition(".")[0])


def recording_files(folder: Path) -> Iterator[str]:
    """Return the paths below ``folder`` of all that is named as a recording is. Raises OSError."""
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


class Rooms:
    """Says how much may be recorded, for one process."""

    def __init__(self) -> None:
        self._total, self._asked = 0, float("-inf")

    def room_for(self, *, grant_id: int) -> Room:
        """Return the room for one more recording of a grant: the least that a command, the grant, and all of them leave."""
        kept = kept_bytes(CommandRun.objects.filter(grant=grant_id))
        return min(
            Room(settings.RECORDING_BYTES, f"a command has {_mib(settings.RECORDING_BYTES)}"),
            _left(settings.RECORDINGS_BYTES_PER_GRANT, kept, "this grant's recordings have {}"),
            _left(settings.RECORDINGS_BYTES, self.in_all(), "all recordings have {}"),
            key=lambda room: room.bytes,
        )

    def in_all(self) -> int:
        """Return the size of all recordings that are kept, as it was within the last minute: to count them reads every one."""
        if time.monotonic() - self._asked > _TOTAL_HOLDS_S:
            self._total, self._asked = kept_bytes(CommandRun.objects.all()), time.monotonic()
        return self._total


def _left(limit: int, kept: int, words: str) -> Room:
    return Room(max(0, limit - kept), words.format(_mib(limit)))


def _mib(size: int) -> str:
    return f"{size / 2**20:g} MiB"


def kept_bytes(runs: QuerySet[CommandRun]) -> int:
    """Return the size of the recordings' files that are kept for some runs."""
    return runs.filter(recording_bytes__gt=0).aggregate(kept=Sum("recording_bytes"))["kept"] or 0


def recordings_trouble(kept: int) -> str:
    """Say what will soon keep recordings from being made, when all that are kept have ``kept`` bytes; empty when nothing will."""
    most = settings.RECORDINGS_BYTES
    if kept >= most * _NEARLY_FULL:
        return (
            f"recordings take {_mib(kept)} of {_mib(most)}; what is printed beyond is not kept: "
            "keep them for a shorter time, or raise STINT_RECORDINGS_MIB"
        )
    disk = free_disk()
    if disk is not None and disk.free < min(disk.total * _DISK_LEFT, _DISK_LEFT_BYTES):
        return f"the disk with the recordings has {_mib(disk.free)} left, and commands are cut when it is full: free some space"
    return ""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk's size and what is free on it, in bytes."""

    total: int
    free: int


def free_disk() -> Disk | None:
    """Return how the disk with the recordings stands; None where this process does not have their folder."""
    try:
        usage = shutil.disk_usage(Path(settings.RECORDINGS_DIR))
    except OSError:
        return None
    return Disk(usage.total, usage.free)


def too_old(policy: AccessPolicy, now: dt.datetime) -> dt.datetime:
    """Return the moment before which recordings under a policy are too old to be kept. One that can't be read keeps them as long
    as one that does not say.
    """
    document = readable_document(policy)
    asked = document.recordings if document else None
    return now - (dt.timedelta(seconds=asked.keep) if asked else dt.timedelta(days=settings.RECORDINGS_DAYS))
