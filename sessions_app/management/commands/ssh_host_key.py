"""`manage.py ssh_host_key`: list and rotate the host key that all SSH gateways share, without warnings in
clients.
"""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from broker.kernel import clock
from sessions_app.management.authority_command import AuthorityCommand
from sessions_app.models import SigningKey
from sessions_app.policy.durations import say_duration
from sessions_app.queries.gateways.keys import SSH_HOST_KEY

# Clients that connect once within this time learn the next key.
ANNOUNCED = dt.timedelta(days=14)


class Command(AuthorityCommand):
    """List, prepare, rotate or retire host keys of the SSH gateways."""

    purpose = SSH_HOST_KEY
    in_use, before, coming = "used", "old", "next"
    help = (
        "List the host keys of the SSH gateways. To rotate: `prepare` creates the next key, which "
        "gateways then announce to clients; `rotate` switches to it, after 14 days or with --now; "
        "`retire FINGERPRINT` removes the old key."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--now", action="store_true", help="rotate now, even if clients may not have learned the next key"
        )

    def announced(self, options: Mapping[str, Any]) -> dt.timedelta:
        return dt.timedelta() if options["now"] else ANNOUNCED

    def described(self, key: SigningKey) -> str:
        since = say_duration(int((clock.now() - key.created_at).total_seconds()))
        return f"{super().described(key)}  announced for {since}"
