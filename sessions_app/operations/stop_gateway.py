"""A gateway is gone: what it held open is closed, by itself or because it was cut off for too long."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import GatewayNode, Session
from sessions_app.operations.close_session import close_session
from sessions_app.operations.renew_gateway import LEASE


def stop_gateway(*, name: str, now: dt.datetime, reason: str = "gateway stopped") -> int:
    """Close every session that the gateway still has open, mark it as stopped, and return how many there were."""
    sessions = list(
        Session.objects.filter(gateway__name=name, closed_at__isnull=True).values_list("pk", flat=True)
    )
    for pk in sessions:
        close_session(session_id=pk, reason=reason, now=now)
    GatewayNode.objects.filter(name=name).update(stopped_at=now)
    return len(sessions)


def stop_lost_gateways(*, now: dt.datetime) -> int:
    """Do so for every gateway that has not renewed its lease, and return how many sessions were closed."""
    lost = GatewayNode.objects.filter(
        stopped_at__isnull=True, seen_at__lt=now - LEASE - dt.timedelta(seconds=2)
    ).values_list("name", flat=True)
    return sum(stop_gateway(name=name, now=now, reason="gateway lost") for name in list(lost))
