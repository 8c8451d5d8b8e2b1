"""Record that a management command prints the setup of a cluster's targets."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record


def note_setup_shown(*, cluster: str, command: str, has_secret: bool = False, now: dt.datetime) -> None:
    """Record that a management command is about to print the setup instructions of a cluster's targets.

    ``has_secret``: the instructions contain a key. Raises the database's errors. If it does, nothing may be
    printed.
    """
    with transaction.atomic():
        record(
            event=Event.CLUSTER_SETUP_SHOWN,
            actor=Actor.system(command),
            object_type="cluster",
            object_ref=cluster,
            now=now,
            data={"has_secret": has_secret},
        )
