"""Let a gateway claim an order exactly once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from broker.kernel.crypto import SecretLocation, place_of, unseal
from sessions_app.models import CommandOrder, OrderedFile
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.proofs.page import uses_from_page
from sessions_app.queries.grants.suspensions import suspension_of


@dataclass(frozen=True, slots=True)
class ClaimedFile:
    """The file of a claimed order. ``direction`` is `get`, `put` or `list`."""

    id: int
    direction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An order that this gateway must run. ``use`` is None if its holder can no longer use the target.
    ``suspended`` is a sentence about the grant's suspension; empty if it isn't suspended. ``line`` is the
    recorded form of the line that ``text`` returns. ``file`` is where the content of an ordered transfer is
    or goes.
    """

    order_id: int
    grant_ref: str
    line: str
    client_address: str
    use: AnyUse | None
    suspended: str = ""
    file: ClaimedFile | None = None
    sealed: bytes | None = field(default=None, repr=False)
    sealed_at: SecretLocation | None = field(default=None, repr=False)

    def text(self) -> str:
        """Return the line to run. Raises CannotDecrypt."""
        if self.sealed is None or self.sealed_at is None:
            return self.line
        return unseal(self.sealed, place=self.sealed_at).decode()


def claim_order(*, order_id: int, gateway_id: int, now: dt.datetime) -> Claimed | None:
    """Claim an order that is unclaimed and has not expired. Return None for any other order.

    The holder's access is checked again, because the order may have waited.
    """
    mine = CommandOrder.objects.filter(pk=order_id, claimed_at__isnull=True, lapses_at__gt=now)
    if mine.update(claimed_at=now, claimed_by_id=gateway_id) != 1:
        return None
    order = CommandOrder.objects.select_related("grant__cluster", "target").get(pk=order_id)
    if order.sealed_line is not None:
        CommandOrder.objects.filter(pk=order_id).update(sealed_line=None)
    uses = uses_from_page(
        holder_id=order.asked_by_id,
        kind=order.grant.cluster.kind,
        target=order.target.name,
        grant_ref=order.grant.ref,
        now=now,
    )
    suspension = "" if uses else suspension_of(order.grant)
    return Claimed(
        suspended=f"{order.grant.ref} {suspension}." if suspension else "",
        order_id=order.pk,
        grant_ref=order.grant.ref,
        line=order.line,
        sealed=None if order.sealed_line is None else bytes(order.sealed_line),
        sealed_at=place_of(order, "sealed_line"),
        client_address=order.client_address,
        use=next((use for use in uses if use.target.id == order.target_id), None),
        file=_file_of(order),
    )


def _file_of(order: CommandOrder) -> ClaimedFile | None:
    file = OrderedFile.objects.filter(order=order).first()
    return None if file is None else ClaimedFile(file.pk, file.direction)
