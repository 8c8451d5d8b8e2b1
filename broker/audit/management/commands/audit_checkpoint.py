"""``manage.py audit_checkpoint``: sign the current record, or print the key that verifies checkpoints."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from broker.audit.checkpoint import make_checkpoint, newest_checkpoint
from broker.audit.checkpoint_key import signer
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError


class Command(StintCommand):
    """Sign the record, and print the newest checkpoint."""

    help = "Sign the current record, store the checkpoint and print it. The worker does this every minute."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the option."""
        parser.add_argument(
            "--key", action="store_true", help="print only the public key, as a verifier key of signed notes"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Make a checkpoint if anything was appended since the last checkpoint, and print the newest
        checkpoint.
        """
        try:
            if options["key"]:
                self.stdout.write(signer(now=clock.now()).verifier)
                return
            found = make_checkpoint(now=clock.now()) or newest_checkpoint()
        except (StintError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(found.note if found else "The record is empty, so there is nothing to sign.")
