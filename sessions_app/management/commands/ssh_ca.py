"""`manage.py ssh_ca`: the certificate authorities that targets trust, and their change without an interruption."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError
from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.operations.targets.prepare_ssh_ca import prepare_ssh_ca
from sessions_app.operations.targets.retire_ssh_ca import retire_ssh_ca
from sessions_app.operations.targets.rotate_ssh_ca import rotate_ssh_ca
from sessions_app.queries.authority import trusted_ssh_cas

ADMINISTRATOR = Actor.system("command-line")


class Command(StintCommand):
    """List, prepare, rotate, retire."""

    help = (
        "List the SSH certificate authorities. To rotate: `prepare` makes the next one; put all that are listed on "
        "every target (`ssh_target_setup`); `rotate` lets the next one sign; `retire FINGERPRINT` forgets the old one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "step", nargs="?", default="list", choices=["list", "prepare", "rotate", "retire"]
        )
        parser.add_argument("fingerprint", nargs="?", default="", help="for retire")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        try:
            if options["step"] == "prepare":
                prepare_ssh_ca(actor=ADMINISTRATOR, now=now)
            elif options["step"] == "rotate":
                rotate_ssh_ca(actor=ADMINISTRATOR, now=now)
            elif options["step"] == "retire":
                retire_ssh_ca(fingerprint=options["fingerprint"], actor=ADMINISTRATOR, now=now)
            else:
                ensure_ssh_ca(now=now)
        except StintError as error:
            raise CommandError(str(error)) from error
        for key in trusted_ssh_cas():
            self.stdout.write(f"{_state(key):8} {key.fingerprint}  {key.public_key}")


def _state(key: SigningKey) -> str:
    if key.is_active:
        return "signs"
    return "trusted" if key.activated_at else "prepared"
