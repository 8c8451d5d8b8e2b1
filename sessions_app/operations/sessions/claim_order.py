"""A gateway takes an order, once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sessions_app.models import CommandOrder
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.holder import ByHolder, Use


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An order that is this gateway's to run. ``use`` None: nothing lets its holder use the target any more."""

    order_id: int
    grant_ref: str
    line: str
    client_address: str
    use: Use | None


def claim_order(*, order_id: int, gateway_id: int, now: dt.datetime) -> Claimed | None:
    """Claim an order that nobody has claimed and that has not lapsed; None for any other.

    What the holder may do is asked again, for the order may be a while old.
    """
    mine = CommandOrder.objects.filter(pk=order_id, claimed_at__isnull=True, lapses_at__gt=now)
    if mine.update(claimed_at=now, claimed_by_id=gateway_id) != 1:
        return None
    order = CommandOrder.objects.select_related("grant", "target").get(pk=order_id)
    uses = authorize_use(by=ByHolder(order.asked_by_id, order.target.name, order.grant.ref, now))
    return Claimed(
        order_id=order.pk,
        grant_ref=order.grant.ref,
        line=order.line,
        client_address=order.client_address,
        use=next((use for use in uses if use.target.id == order.target_id), None),
    )
