"""Let the prepared certificate authority sign from now."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict
from sessions_app.models import SigningKey
from sessions_app.operations.targets.prepare_ssh_ca import prepared_ssh_ca
from sessions_app.queries.authority import SSH_USER_CA


class NotPrepared(Conflict):
    """There is no authority that targets could know already."""

    code = "not_prepared"


def rotate_ssh_ca(*, actor: Actor, now: dt.datetime) -> SigningKey:
    """Make the prepared authority the one that signs. The old one stays trusted until it is retired.

    Raises NotPrepared.
    """
    with transaction.atomic():
        fresh = prepared_ssh_ca()
        if fresh is None:
            raise NotPrepared(
                "No new authority is prepared.",
                hint="Run `manage.py ssh_ca prepare`, install both keys on every target, then rotate.",
            )
        old = SigningKey.objects.select_for_update().filter(purpose=SSH_USER_CA, is_active=True).first()
        if old is not None:
            SigningKey.objects.filter(pk=old.pk).update(is_active=False)
        SigningKey.objects.filter(pk=fresh.pk).update(is_active=True, activated_at=now)
        record(
            event=Event.CA_ROTATED, actor=actor, object_type="ca", object_ref=fresh.fingerprint, now=now,
            data={"before": old.fingerprint if old else None},
        )  # fmt: skip
    fresh.refresh_from_db()
    return fresh
