"""`manage.py restored --reason …`: continue after an older database backup was restored on purpose."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError
from sessions_app.operations.record.accept_restore import Restored, accept_restore


class Command(StintCommand):
    """End all access, and continue with the restored record."""

    help = (
        "Continue after a restore from an older backup. Ends every grant, signs everyone out and "
        "reports what was lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", required=True, help="reason, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            restored = accept_restore(reason=options["reason"], now=clock.now())
        except (StintError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_said(restored))


def _said(found: Restored) -> str:
    since = f"{found.agreed_at:%Y-%m-%d %H:%M:%S} UTC" if found.agreed_at else "the beginning"
    until = f"{found.kept_at:%Y-%m-%d %H:%M:%S} UTC" if found.kept_at else "an unknown time"
    ended = f": {', '.join(found.grants)}" if found.grants else ""
    return f"""\
Lost: at least {found.lost:,} entries of the record, signed between {since} and {until}.
The checkpoints that show this are kept in {found.aside}.
Ended: {len(found.grants)} grants{ended}.
Signed out: everyone ({found.sign_ins} browser sessions).
Check these for changes since {since} that were lost:
disabled people and machines, removed keys and tokens, groups, policies, command sets, clusters and secrets.
Stint continues with the restored record."""
