"""What the administrator of a target has to run was printed on the server."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record


def note_setup_shown(*, cluster: str, command: str, has_secret: bool = False, now: dt.datetime) -> None:
    """Record that a management command is about to print the set-up of a cluster's targets; ``has_secret``: with a key in it.

    Raises the database's errors, and then nothing may be printed.
    """
    with transaction.atomic():
        record(
            event=Event.CLUSTER_SETUP_SHOWN, actor=Actor.system(command), object_type="cluster", object_ref=cluster, now=now,
            data={"has_secret": has_secret},
        )  # fmt: skip
