"""``manage.py audit_export FILE``: write the record to a file that can be verified without Stint."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from broker.audit.archives import last_removed
from broker.audit.checkpoint import make_checkpoint, newest_checkpoint
from broker.audit.export import ALL, export, export_part, note_export, part_between
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError


class Command(StintCommand):
    """Sign the record, then export it, so that the file ends with a checkpoint of all its entries."""

    help = "Export all entries and checkpoints to a new file. broker/audit/offline.py verifies it anywhere."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the file and the months."""
        parser.add_argument("file", help="file to create; it must not exist")
        parser.add_argument(
            "--from",
            dest="start",
            type=_month,
            help="export only entries signed in or after this month, such as 2026-10",
        )
        parser.add_argument(
            "--before", type=_month, help="export only entries signed before this month, such as 2026-11"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Sign, export, and print the number of lines."""
        until, part = self._signed(), None
        if options["start"] or options["before"]:
            part = part_between(options["start"], options["before"] or clock.now())
            if part is None:
                raise CommandError(
                    "Nothing was signed in these months. Use other months, or omit --from and --before."
                )
        removed = last_removed()
        if removed and (part is None or part.after < removed):
            raise CommandError(
                f"The texts of entries up to {removed:,} are archived. Use the archives for them, and --from"
                " with"
                " a later month for the rest."
            )
        note_export(
            file=options["file"],
            until=part.until if part else until,
            after=part.after if part else 0,
            now=clock.now(),
        )
        count = 0
        try:
            with open(
                options["file"], "x", encoding="utf-8", newline="\n", opener=_for_us_alone
            ) as file:  # The opener creates the file with its final permissions.
                for line in export_part(part) if part else export(until=until):
                    file.write(line)
                    count += 1
        except OSError as error:
            raise CommandError(f"{options['file']} can't be written: {error.strerror}.") from error
        self.stdout.write(f"{count:,} lines written to {options['file']}.")

    def _signed(self) -> int:
        """Return the number of the last signed entry. If signing fails, report it and return ``ALL``."""
        try:
            make_checkpoint(now=clock.now())
        except (StintError, OSError) as error:
            self.stderr.write(f"No checkpoint was made; entries since the last one are not signed. {error}")
            return ALL
        newest = newest_checkpoint()
        return newest.size if newest else ALL


def _month(text: str) -> dt.datetime:
    """Return the beginning of a month, in UTC. Raises ValueError."""
    return dt.datetime.strptime(text, "%Y-%m").replace(tzinfo=dt.UTC)


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
