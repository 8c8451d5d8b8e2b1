"""Suspended grants: nothing new can run under them until they are resumed."""

from __future__ import annotations

import datetime as dt
from textwrap import shorten

from django.db.models import DateTimeField, F, Func, Q
from django.db.models.lookups import GreaterThan

from sessions_app.models import Grant, GrantState
from sessions_app.queries.grants.delegations import chain_of

# The number of characters of a reason that refusals quote, and of grants that are examined.
LONGEST_NOTE, MOST = 200, 10


def suspension(grant: Grant) -> str:
    """Return how a suspended grant was suspended, as the end of a sentence, such as `was suspended by Bob:
    wrong host` or `is suspended after too many refused commands`. A long reason is shortened.
    """
    if grant.held_by_id is None and not grant.held_note:
        return "is suspended after too many refused commands"
    shown = "".join(one if one.isprintable() else " " for one in grant.held_note)
    note = shorten(shown, LONGEST_NOTE, placeholder=" …").rstrip(".")
    return f"was suspended by {grant.held_by or 'Stint'}{note and f': {note}'}"


def suspension_of(grant: Grant) -> str:
    """Return, as the end of a sentence, how a grant or one that it was delegated from was suspended; empty if
    none is suspended.
    """
    if grant.held_at is not None:
        return suspension(grant)
    above = next((one for one in chain_of(grant)[:-1] if one.held_at is not None), None)
    return f"was delegated from {above.ref}, which {suspension(above)}" if above else ""


def suspended_at(holder_id: int, kind: str, target: str, grant_ref: str | None, now: dt.datetime) -> str:
    """Return a sentence about a holder's suspended grant on a target; empty if there is none.

    ``grant_ref`` None means any grant.
    """
    found = Grant.objects.filter(
        holder_id=holder_id, state=GrantState.ACTIVE, expires_at__gt=now, starts_at__lte=now
    ).filter(targets__name=target, cluster__kind=kind, **({"ref": grant_ref} if grant_ref else {}))
    for grant in found.order_by("-expires_at")[:MOST]:
        if how := suspension_of(grant):
            return f"{grant.ref} {how}."
    return ""


def all_above_live(now: dt.datetime) -> Q:
    """Return the condition that a grant was not delegated, or that every grant in its chain of delegations is
    live at ``now``, suspended or not.
    """
    until = Func(F("parent"), function="stint_live_until", output_field=DateTimeField())
    return Q(parent__isnull=True) | Q(GreaterThan(until, now))
