"""Activate the prepared key, which is the next certificate authority or the gateways' next host key."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict
from broker.kernel.lock import in_turn
from sessions_app.models import SigningKey
from sessions_app.operations.targets.prepare_authority import prepared_authority
from sessions_app.queries.gateways.keys import active_authority


class NotPrepared(Conflict):
    """There is no prepared authority or key. Run ``prepare`` first, and distribute the new key."""

    code = "not_prepared"


class TooSoon(Conflict):
    """Clients have not had enough time to learn the next key. Wait, or force the rotation with ``--now``."""

    code = "too_soon"


def rotate_authority(
    purpose: str, *, actor: Actor, now: dt.datetime, announced: dt.timedelta = dt.timedelta()
) -> SigningKey:
    """Make the prepared authority the active one. The old authority stays trusted until it is retired.

    ``announced`` is the minimum time since it was prepared. Raises NotPrepared or TooSoon.
    """
    with transaction.atomic():
        in_turn(purpose)
        fresh = prepared_authority(purpose)
        if fresh is None:
            raise NotPrepared(
                "No new authority is prepared.",
                hint="Prepare a new authority, install both everywhere, then rotate.",
            )
        if now - fresh.created_at < announced:
            raise TooSoon(
                f"{fresh.fingerprint} has been announced to clients only since"
                f" {fresh.created_at:%Y-%m-%d %H:%M} UTC.",
                hint=(
                    f"Rotate after {fresh.created_at + announced:%Y-%m-%d %H:%M} UTC, or now with --now:"
                    " clients that do not have the new key yet will warn about it."
                ),
            )
        old = active_authority(purpose)
        if old is not None:
            SigningKey.objects.filter(pk=old.pk).update(is_active=False)
        SigningKey.objects.filter(pk=fresh.pk).update(is_active=True, activated_at=now)
        record(
            event=Event.CA_ROTATED,
            actor=actor,
            object_type="ca",
            object_ref=fresh.fingerprint,
            now=now,
            data={"before": old.fingerprint if old else None},
        )
    fresh.refresh_from_db()
    return fresh
