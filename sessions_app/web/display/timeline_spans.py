"""The bars of grants and requests in a timeline chart."""

from __future__ import annotations

import datetime as dt

from django.urls import reverse
from django.utils import timezone

from accounts.models import Identity
from sessions_app.models import AccessRequest, Grant, GrantState, RequestState
from sessions_app.models.grant import why_over
from sessions_app.queries.requests.starts import would_run
from sessions_app.web.display.timeline_chart import Span


def span_of_grant(
    grant: Grant,
    *,
    note: str = "",
    identity: Identity | None = None,
    urgent: bool | None = None,
    now: dt.datetime | None = None,
) -> Span:
    """Return a grant's bar, which ends at the deadline or at an earlier end.

    ``identity`` is the holder, if already loaded. ``urgent`` marks incident and break-glass access. With
    ``now``, the bar of a grant that is still ending extends to now, and the bar of an ended grant shows how
    the grant ended.
    """
    start = grant.starts_at
    end = grant.ended_at or grant.expires_at
    if now is not None and grant.state == GrantState.REVOKING:
        end = max(now, grant.revoking_at or now)
    tone, style, text = _look_of_grant(grant, end, now)
    if (tone == "ok" and (grant.break_glass if urgent is None else urgent)) or (
        urgent and grant.state == GrantState.ENDED
    ):
        tone = "glass"
    return Span(
        identity=identity or grant.holder,
        note=note or f"{grant.cluster}, {grant.command_set_version.command_set}",
        start=start,
        end=max(end, start + dt.timedelta(seconds=1)),
        tone=tone,
        style=style,
        text=text,
        url=reverse("grant", args=[grant.ref]),
    )


def _look_of_grant(grant: Grant, end: dt.datetime, now: dt.datetime | None) -> tuple[str, str, str]:
    """Return the tone, the style and the text of a grant's bar."""
    if grant.state == GrantState.ENDED:
        why = why_over(grant.end_reason) if now else "ended"
        return "mute", "gone", f"{why} {timezone.localtime(end):%H:%M}"
    if grant.state == GrantState.REVOKING:
        return "warn", "", "ending"
    if grant.state == GrantState.SCHEDULED:
        return "info", "", f"from {timezone.localtime(grant.starts_at):%H:%M}"
    return "ok", "", f"to {timezone.localtime(end):%H:%M}"


def span_of_request(
    request: AccessRequest, now: dt.datetime, *, note: str = "", emphasis: bool = False
) -> Span:
    """Return a request's bar: the period that it would have covered, or would cover if approved now."""
    waits = request.state == RequestState.PENDING and request.lapses_at > now
    start, end = would_run(request, now if waits or emphasis else request.created_at)
    expired = request.state in (RequestState.PENDING, RequestState.LAPSED)
    text = "requested" if waits else "expired" if expired else str(request.state)
    if emphasis:
        text = f"{timezone.localtime(start):%H:%M} to {timezone.localtime(end):%H:%M}, this request"
    return Span(
        identity=request.requester,
        note=note or f"{request.cluster}, {request.command_set_version.command_set}",
        start=start,
        end=end,
        tone="warn" if waits else "bad" if request.state == RequestState.DENIED else "mute",
        style="asked" if waits else "refused",
        text=text,
        url=reverse("request", args=[request.ref]),
        emphasis=emphasis,
    )
