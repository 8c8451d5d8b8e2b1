"""`manage.py legal_hold add|remove|list`: protect data from being deleted or archived."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError
from sessions_app.models import LegalHold
from sessions_app.operations.record.add_legal_hold import add_legal_hold
from sessions_app.operations.record.remove_legal_hold import remove_legal_hold

_ACTOR = Actor.system("legal_hold")


class Command(StintCommand):
    """Add, remove and list legal holds."""

    help = (
        "Protect grants, requests, recordings, notifications and record entries from being deleted or "
        "archived."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        add = verbs.add_parser("add", help="add a hold on one of the following")
        what = add.add_mutually_exclusive_group(required=True)
        what.add_argument("--ref", default="", help="a grant or request, such as GR-7F3K")
        what.add_argument("--identity", default="", help="all data of a person or machine")
        what.add_argument(
            "--period",
            nargs=2,
            type=_day,
            metavar=("FROM", "UNTIL"),
            help="first and last day, in UTC, both inclusive",
        )
        add.add_argument("--reason", required=True, help="reason, for the record")
        remove = verbs.add_parser("remove", help="remove a hold")
        remove.add_argument("number", type=int, help="number of the hold, as `list` shows it")
        remove.add_argument("--reason", required=True, help="reason, for the record")
        verbs.add_parser("list", help="list the holds")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            if options["verb"] == "add":
                self.stdout.write(f"Added {self._add(options)}.")
            elif options["verb"] == "remove":
                remove_legal_hold(
                    actor=_ACTOR, number=options["number"], reason=options["reason"], now=clock.now()
                )
                self.stdout.write(f"Removed {options['number']}.")
            else:
                for hold in LegalHold.objects.in_force().select_related("identity").order_by("pk"):
                    self.stdout.write(f"{hold}: {hold.reason}")
        except StintError as error:
            raise CommandError(f"{error.message} {error.hint or ''}".strip()) from error

    def _add(self, options: dict[str, Any]) -> LegalHold:
        period = options["period"]
        return add_legal_hold(
            actor=_ACTOR,
            ref=options["ref"],
            identity=options["identity"],
            period=(period[0], period[1] + dt.timedelta(days=1)) if period else None,
            reason=options["reason"],
            now=clock.now(),
        )


def _day(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise ArgumentTypeError("a day, such as 2026-10-01") from error
