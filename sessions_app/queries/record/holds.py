"""The data that legal holds cover."""

from __future__ import annotations

import datetime as dt

from django.db.models import BooleanField, CharField, F, Func, Value
from django.db.models.functions import Coalesce

from broker.audit.archives import Held
from sessions_app.models import AccessRequest, Grant, LegalHold


def run_held() -> Func:
    """Return the SQL expression for whether a hold covers a run."""
    return _held("grant__ref", "grant__request__number", "grant__holder_id", "ended_at")


def notice_held() -> Func:
    """Return the SQL expression for whether a hold covers a notification. Some notifications are linked to
    their grant or request only by the path of its page.
    """
    named = Func(F("path"), Value("/"), Value(3), function="split_part", output_field=CharField())
    ref = Coalesce("grant__ref", "run__grant__ref", "request__grant__ref", named)
    return _held(ref, "request__number", "identity_id", "created_at")


def _held(grant: Coalesce | str, request: str, person: str, at: str) -> Func:
    expression = F(grant) if isinstance(grant, str) else grant
    return Func(
        expression, F(request), F(person), F(at), F(at), function="stint_held", output_field=BooleanField()
    )


def held_entries() -> Held:
    """Return which entries of the record are under hold. A hold on an identity covers entries that name the
    identity, and those about its requests and grants.
    """
    refs: set[str] = set()
    texts: list[str] = []
    periods: list[tuple[dt.datetime, dt.datetime]] = []
    for hold in LegalHold.objects.in_force().select_related("identity"):
        if hold.starts_at and hold.ends_at:
            periods.append((hold.starts_at, hold.ends_at))
            continue
        grants, requests = (
            Grant.objects.filter(ref=hold.ref),
            AccessRequest.objects.filter(grant__ref=hold.ref),
        )
        if hold.identity:
            grants, requests = (
                Grant.objects.filter(holder=hold.identity),
                AccessRequest.objects.filter(requester=hold.identity),
            )
        texts.append(f'"{hold.identity.username if hold.identity else hold.ref}"')
        refs |= {hold.ref, *grants.values_list("ref", flat=True)} - {""}
        refs |= {f"REQ-{number}" for number in requests.values_list("number", flat=True)}
    return Held(sorted(refs), texts, periods)
