"""The base of the commands that manage keys shared by all gateways."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandError

from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError
from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.prepare_authority import prepare_authority
from sessions_app.operations.targets.retire_authority import retire_authority
from sessions_app.operations.targets.rotate_authority import rotate_authority
from sessions_app.queries.gateways.keys import trusted_authorities

ADMINISTRATOR = Actor.system("command-line")


class AuthorityCommand(StintCommand):
    """List, prepare, rotate or retire the keys of one purpose."""

    purpose: ClassVar[str]
    # The words for the key in use, an earlier key, and the next key.
    in_use, before, coming = "signs", "trusted", "prepared"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "step", nargs="?", default="list", choices=["list", "prepare", "rotate", "retire"]
        )
        parser.add_argument("fingerprint", nargs="?", default="", help="fingerprint of the key to retire")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._carry_out(options["step"], options["fingerprint"], self.announced(options))
        except StintError as error:
            raise CommandError(str(error)) from error
        for key in trusted_authorities(self.purpose):
            self.stdout.write(self.described(key))

    def announced(self, options: Mapping[str, Any]) -> dt.timedelta:
        """Return how long the next key must have been announced before use."""
        return dt.timedelta()

    def _carry_out(self, step: str, fingerprint: str, announced: dt.timedelta) -> None:
        now = clock.now()
        if step == "prepare":
            prepare_authority(self.purpose, actor=ADMINISTRATOR, now=now)
        elif step == "rotate":
            rotate_authority(self.purpose, actor=ADMINISTRATOR, now=now, announced=announced)
        elif step == "retire":
            retire_authority(self.purpose, fingerprint=fingerprint, actor=ADMINISTRATOR, now=now)
        else:
            ensure_authority(self.purpose, now=now)

    def described(self, key: SigningKey) -> str:
        """Return the line for a key: its state, fingerprint and public key."""
        return f"{self._state(key):8} {key.fingerprint}  {key.public_key}"

    def _state(self, key: SigningKey) -> str:
        if key.is_active:
            return self.in_use
        return self.before if key.activated_at else self.coming
