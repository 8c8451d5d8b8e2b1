"""Commands and transfers that were started on the page and have no run yet, or never ran."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from broker.kernel.postgresql.rows import Rows
from sessions_app.models import CommandOrder, Grant
from sessions_app.web.display.states import Look

# How long queued commands that did not run stay visible.
RECENT = dt.timedelta(minutes=10)
# If a claimed command takes longer than this to start, its gateway has stopped.
BEGINS_WITHIN = dt.timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """A command started on the page that has no run yet or never ran, with its display style."""

    order: CommandOrder
    look: Look
    why: str


def recent_orders(grant: Grant, now: dt.datetime, wanted: int | None) -> list[CommandOrder]:
    """Return the recent orders without a run, and the requested order."""
    found = _ORDERS(grant.pk, now - RECENT, wanted)
    for order in found:
        order.grant = grant
    return found


_ORDERS = Rows(
    CommandOrder,
    "target",
    tail="""
WHERE sessions_app_commandorder.grant_id = %s
  AND (run_id IS NULL AND sessions_app_commandorder.created_at > %s
       OR sessions_app_commandorder.id = %s::bigint)
ORDER BY sessions_app_commandorder.id DESC LIMIT 20
""",
)


def order_entry(order: CommandOrder, now: dt.datetime) -> OrderEntry:
    """Return the entry of an order that has no run."""
    if order.error:
        return OrderEntry(order, Look("bad", "alert", "Not run"), order.error)
    if order.claimed_at is None and order.lapses_at <= now:
        why = "no gateway picked it up in time. Nothing ran. Run it again when a gateway is available."
        return OrderEntry(order, Look("bad", "clock", "Expired"), why)
    if order.claimed_at is not None and order.claimed_at + BEGINS_WITHIN <= now:
        return OrderEntry(
            order, Look("bad", "alert", "Not run"), "the gateway that picked it up stopped before running it."
        )
    word = "Waiting for a gateway" if order.claimed_at is None else "Starting"
    return OrderEntry(order, Look("info", "", word), "")
