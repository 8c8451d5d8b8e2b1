"""`manage.py audit_archive --before MONTH`: archive old entries of the record, and remove their texts."""

from __future__ import annotations

import datetime as dt
import os
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError

from broker.audit.archives import AltersArchive
from broker.audit.models import MAIN_LOG, AuditArchive
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError
from sessions_app.operations.record.remove_archived import remove_archived
from sessions_app.operations.record.store_archive import store_archive
from sessions_app.storage.base import ObjectStore
from sessions_app.storage.registry import store_at

# The database refuses to remove the texts of later entries.
_LEAST_AGE = dt.timedelta(days=90)


class Command(StintCommand):
    """Archive entries, then remove their texts from the database as the owner of the schema."""

    help = (
        "Archive old entries of the record, and remove their texts from the database. Hashes remain, "
        "so the record can still be verified. Like `migrate`, run this with DATABASE_OWNER_URL."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--before",
            type=_month,
            required=True,
            help="archive entries signed before this month, such as 2026-08",
        )
        parser.add_argument(
            "--file",
            help="archive file to create, if STINT_RECORD_STORE is not set; the file must not exist yet",
        )
        parser.add_argument(
            "--keep", action="store_true", help="archive the entries without removing their texts"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        store = store_at(settings.RECORD_STORE) if settings.RECORD_STORE else None
        if not options["keep"] and options["before"] > clock.now() - _LEAST_AGE:
            raise CommandError("Entries of the last 90 days stay in the database. Use an earlier month.")
        try:
            self._archive(store, options["file"], options["before"])
            if not options["keep"]:
                self._remove(store, options["before"])
        except (StintError, AltersArchive, OSError, DatabaseError) as error:
            raise CommandError(str(error)) from error

    def _archive(self, store: ObjectStore | None, path: str | None, before: dt.datetime) -> None:
        if store is not None:
            made = store_archive(into=store, before=before, now=clock.now())
        elif path:
            with open(path, "x+b", opener=_for_us_alone) as file:
                made = store_archive(into=file, before=before, now=clock.now())
            if made is None:
                Path(path).unlink()
        else:
            made = None
        if made:
            self.stdout.write(
                f"Archived entries {made.after + 1:,} to {made.until:,}, SHA-256 {made.sha256}."
            )

    def _remove(self, store: ObjectStore | None, before: dt.datetime) -> None:
        ends = AuditArchive.objects.raw(
            """SELECT a.* FROM audit_archive a
                 JOIN audit_checkpoint c ON c.log = a.log AND c.size = a.until
                WHERE a.log = %s AND c.at < %s ORDER BY a.until DESC LIMIT 1""",
            [MAIN_LOG, before],
        )
        for archive in ends:
            removed = remove_archived(until=archive.until, store=store, now=clock.now())
            self.stdout.write(f"Removed {removed:,} texts up to entry {archive.until:,}.")
            return
        raise CommandError(
            "No archive contains only entries signed before this month. Set STINT_RECORD_STORE or use "
            "--file, and check that a checkpoint was signed by then."
        )


def _month(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "%Y-%m").replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise ArgumentTypeError("a month, such as 2026-10") from error


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
