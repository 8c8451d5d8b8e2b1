"""`manage.py reset_factors NAME --reason …`: reset two-factor authentication when no other administrator
can.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounts.models import Identity
from accounts.names import canonical_username
from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError
from sessions_app.operations.identities.reset_factors import reset_factors


class Command(StintCommand):
    """Reset two-factor authentication for one person."""

    help = "Reset a person's two-factor authentication, and end all their sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="username of the person")
        parser.add_argument("--reason", required=True, help="reason, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        identity = Identity.objects.filter(username=canonical_username(options["username"])).first()
        if identity is None:
            raise CommandError(f"User {options['username']} not found.")
        try:
            reset_factors(
                identity_id=identity.pk,
                reason=options["reason"],
                actor=Actor.system("reset_factors"),
                now=clock.now(),
            )
        except StintError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{identity.username} can sign in with the password alone until they set up a second factor."
        )
