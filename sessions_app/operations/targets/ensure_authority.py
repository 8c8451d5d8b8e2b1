"""Ensure that a certificate authority exists."""

from __future__ import annotations

import datetime as dt

from django.db import IntegrityError, transaction

from broker.audit.actor import Actor
from sessions_app.models import SigningKey
from sessions_app.operations.targets.prepare_authority import make_key
from sessions_app.queries.gateways.keys import active_authority


def ensure_authority(purpose: str, *, now: dt.datetime) -> SigningKey:
    """Return the active authority. Create the first one if there is none.

    Safe to call from many processes at once.
    """
    found = active_authority(purpose)
    if found is not None:
        return found
    try:
        with transaction.atomic():
            return make_key(purpose, actor=Actor.system("setup"), now=now, active=True)
    except IntegrityError:
        made = active_authority(purpose)
        if made is None:
            raise
        return made
