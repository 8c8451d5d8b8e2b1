"""`manage.py changepassword NAME`: like Django's command of the same name, but with an entry in the
record.
"""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounts.models import Identity
from accounts.names import canonical_username
from accounts.operations.reset_password import reset_password
from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import InvalidInput, StintError

_TRIES = 3


class Command(StintCommand):
    """Prompt for the new password twice, in at most three attempts."""

    help = "Change a person's password. This ends all of their sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="username of the person")

    def handle(self, *args: Any, **options: Any) -> None:
        identity = Identity.objects.filter(username=canonical_username(options["username"])).first()
        if identity is None:
            raise CommandError(f"User {options['username']} not found.")
        for _ in range(_TRIES):
            password = getpass.getpass(f"New password for {identity.username}: ")
            if getpass.getpass("Again: ") != password:
                self.stderr.write("The passwords do not match.")
                continue
            try:
                reset_password(
                    identity_id=identity.pk,
                    new=password,
                    actor=Actor.system("changepassword"),
                    now=clock.now(),
                )
            except InvalidInput as error:
                self.stderr.write(str(error))
            except StintError as error:
                raise CommandError(str(error)) from error
            else:
                self.stdout.write(f"Password changed for {identity.username}.")
                return
        raise CommandError("The password was not changed.")
