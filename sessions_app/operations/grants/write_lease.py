"""Store that a target may have objects that were created for a grant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.postgresql.rows import Rows
from broker.kernel.postgresql.writes import insert
from sessions_app.models import Lease
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.policy.scope import TargetFacts

_NO_LOGIN: Mapping[str, Any] = {}


_LEASE = Rows(Lease, tail="WHERE sessions_app_lease.grant_id = %s AND sessions_app_lease.target_id = %s")


def write_lease(
    *,
    grant_id: int,
    grant_ref: str,
    target: TargetFacts,
    host_ca: str,
    login: Mapping[str, Any] = _NO_LOGIN,
    actor: Actor,
    now: dt.datetime,
    ahead: bool = False,
) -> None:
    """Store a target's address and how to log in, before the target is called.

    A lease that was confirmed as gone is reopened.

    ``login`` is the value of `facts.login_of` for the target's cluster, if the connector of its kind logs in.
    ``ahead`` means that the grant has not started yet. Raises GrantIsOver if the target has moved since the
    grant used it, because the old address would be lost.
    """
    there = _there(target, host_ca)
    row, made = _LEASE.first(grant_id, target.id), False
    if row is None:
        row, made = _created(grant_id=grant_id, target_id=target.id, made_at=now, **there, **login)
    if not is_there(row, target, host_ca):
        raise GrantIsOver(f"{target.name} has a new address.", hint="Request new access.")
    if row.gone_at is not None:
        Lease.objects.filter(pk=row.pk).update(gone_at=None)
    if made:
        record(
            event=Event.LEASE_MADE,
            actor=actor,
            object_type="grant",
            object_ref=grant_ref,
            now=now,
            data={"target": target.name, **({"ahead": True} if ahead else {})},
        )


def is_there(lease: Lease, target: TargetFacts, host_ca: str) -> bool:
    """Whether a target is still at the address of a lease."""
    return all(getattr(lease, name) == value for name, value in _there(target, host_ca).items())


def _there(target: TargetFacts, host_ca: str) -> dict[str, Any]:
    return {
        "address": target.address,
        "port": target.port,
        "account": target.account,
        "host_key": target.host_key,
        "host_ca": host_ca,
    }


def _created(**fields: Any) -> tuple[Lease, bool]:
    """Return the new lease, or the one that another process has just created, and whether it is new."""
    try:
        with transaction.atomic():
            return insert(Lease(**fields)), True
    except IntegrityError:
        return Lease.objects.get(grant_id=fields["grant_id"], target_id=fields["target_id"]), False
