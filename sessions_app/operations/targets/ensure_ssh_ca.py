"""Make sure that there is a certificate authority over SSH."""

from __future__ import annotations

import datetime as dt

from django.db import IntegrityError, transaction

from broker.audit.actor import Actor
from sessions_app.models import SigningKey
from sessions_app.operations.targets.prepare_ssh_ca import make_key
from sessions_app.queries.authority import active_ssh_ca


def ensure_ssh_ca(*, now: dt.datetime) -> SigningKey:
    """Return the authority that signs, making the first one if there is none. Safe from many processes at once."""
    found = active_ssh_ca()
    if found is not None:
        return found
    try:
        with transaction.atomic():
            return make_key(actor=Actor.system("setup"), now=now, active=True)
    except IntegrityError:
        made = active_ssh_ca()
        if made is None:
            raise
        return made
