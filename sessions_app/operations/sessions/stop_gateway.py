"""Close the sessions of a gateway that stopped or was unreachable for too long."""

from __future__ import annotations

import datetime as dt
from functools import partial

from django.db.models import Exists, OuterRef

from broker.kernel.each_free import each_free
from sessions_app.models import GatewayNode, Session
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.renew_gateway import LEASE

LOST_AFTER = LEASE + dt.timedelta(seconds=2)


def is_lost(gateway: GatewayNode, now: dt.datetime) -> bool:
    """Whether a gateway has not renewed its lease for so long that it has cut all its sessions."""
    return gateway.seen_at < now - LOST_AFTER


def stop_gateway(*, name: str, now: dt.datetime, reason: str = "gateway stopped") -> int:
    """Close every session that is still open at the gateway, mark the gateway as stopped, and return the
    number of sessions.
    """
    sessions = list(
        Session.objects.filter(gateway__name=name, closed_at__isnull=True).values_list("pk", flat=True)
    )
    for pk in sessions:
        close_session(session_id=pk, reason=reason, now=now)
    GatewayNode.objects.filter(name=name).update(stopped_at=now)
    return len(sessions)


def stop_lost_gateways(*, now: dt.datetime, failed: dict[str, str] | None = None) -> int:
    """Stop every gateway that has not renewed its lease, and return the number of closed sessions.

    Gateways that another process has locked are left for the next run. If closing fails for a gateway, it
    is also left, and added to ``failed``.
    """
    noted = {} if failed is None else failed
    lost = GatewayNode.objects.filter(stopped_at__isnull=True, seen_at__lt=now - LOST_AFTER).order_by(
        "seen_at"
    )
    close = partial(_close_lost, now=now)
    left_open = Session.objects.filter(closed_at__isnull=True)
    closed = each_free(left_open.filter(gateway__in=lost).order_by("pk"), close, failed=noted)
    emptied = lost.filter(~Exists(left_open.filter(gateway=OuterRef("pk"))))
    each_free(emptied, partial(_mark_stopped, now=now), failed=noted)
    return closed


def _close_lost(session_id: int, *, now: dt.datetime) -> None:
    close_session(session_id=session_id, reason="gateway lost", now=now)


def _mark_stopped(gateway_id: int, *, now: dt.datetime) -> None:
    GatewayNode.objects.filter(pk=gateway_id).update(stopped_at=now)
