"""`manage.py createsuperuser`: like Django's command of the same name, but with an entry in the record."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from accounts.passwords import check_new
from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import InvalidInput, StintError

_TRIES = 3


class Command(StintCommand):
    """Create an administrator, and prompt for missing values.

    Administrators configure Stint, but can't approve their own requests.
    """

    help = "Create an administrator. With --noinput, uses DJANGO_SUPERUSER_USERNAME, _EMAIL and _PASSWORD."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--username", help="username of the administrator")
        parser.add_argument("--email", help="email address, which identifies a person across accounts")
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help=(
                "do not prompt; without a password in the environment, the administrator can't sign in with a"
                " password"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        username, email, password = options["username"], options["email"], None
        if options["interactive"]:
            if not sys.stdin.isatty():
                raise CommandError("There is no terminal for prompts. Use --noinput, and pass --username.")
            username = username or input("Username: ")
            email = input("Email: ") if email is None else email
            password = self._ask_password(username)
        else:
            username = username or os.environ.get("DJANGO_SUPERUSER_USERNAME")
            email = os.environ.get("DJANGO_SUPERUSER_EMAIL") if email is None else email
            password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if not username:
            raise CommandError("A username is required (--username).")
        try:
            made = create_identity(
                username=username,
                email=(email or "").strip(),
                password=password,
                is_superuser=True,
                actor=Actor.system("createsuperuser"),
                now=clock.now(),
            )
        except StintError as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write(f"{made.username} is an administrator.")

    def _ask_password(self, username: str) -> str:
        for _ in range(_TRIES):
            password = getpass.getpass("Password: ")
            if getpass.getpass("Again: ") != password:
                self.stderr.write("The passwords do not match.")
                continue
            try:
                check_new(password, Identity(username=username))
            except InvalidInput as error:
                self.stderr.write(str(error))
            else:
                return password
        raise CommandError("No administrator was created.")
