"""``manage.py audit_verify``: verify the record from its first entry to its head."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connection

from broker.audit.actor import Actor
from broker.audit.archives import AltersArchive, compare_archive
from broker.audit.models import MAIN_LOG, AuditHead
from broker.audit.note import note_verification
from broker.audit.verify import Verdict, verify
from broker.kernel import clock
from broker.kernel.command import StintCommand


class Command(StintCommand):
    """Verify a log. Exits with 0 if the log is intact, 1 if it is broken, and 2 if it does not exist."""

    help = "Verify the record. Exits with 0 if it is intact, 1 if it is broken. The result is recorded."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--log", default=MAIN_LOG, help="log to verify (default: %(default)s)")
        parser.add_argument("--no-record", action="store_true", help="do not record the result")
        parser.add_argument(
            "--archive", action="append", default=[], help="also compare this archive; can be repeated"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Verify, store the result, and print one line."""
        log = options["log"]
        if log != MAIN_LOG and not AuditHead.objects.filter(log=log).exists():
            raise CommandError(f"Unknown log {log!r}. Omit --log for the main log.", returncode=2)
        began = time.monotonic()
        verdict = verify(log=log, connection=connection, progress=self._progress)
        seconds = time.monotonic() - began
        if not options["no_record"]:
            note_verification(verdict=verdict, actor=Actor.system("audit_verify"), now=clock.now())
        self._say(verdict, seconds)
        for path in options["archive"]:
            self._compare(path)

    def _compare(self, path: str) -> None:
        try:
            with Path(path).open("rb") as file:
                part = compare_archive(file, connection=connection)
        except (AltersArchive, OSError, ValueError) as error:
            raise CommandError(f"{path}: {error}", returncode=1) from error
        self.stdout.write(f"{path}: matches entries {part.after + 1:,} to {part.until:,}.")

    def _progress(self, seq: int) -> None:
        self.stderr.write(f"{seq:,} entries read")

    def _say(self, verdict: Verdict, seconds: float) -> None:
        if not verdict.ok:
            before = f" The {verdict.entries:,} entries before it are intact." if verdict.entries else ""
            raise CommandError(
                f"Record broken at entry {verdict.first_bad_seq:,} ({verdict.problem}). "
                f"{verdict.detail}{before} Keep the database as it is and compare it with a backup.",
                returncode=1,
            )
        kept = f". The texts of {verdict.archived:,} are archived." if verdict.archived else ""
        self.stdout.write(
            f"Record intact: {verdict.entries:,} entries, checked in {seconds:.1f} s. "
            f"Head {verdict.head_seq:,}: {verdict.head_hash.hex()}{kept}"
        )
