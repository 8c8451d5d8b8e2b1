"""Queries about API tokens."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Case, DateTimeField, Exists, OuterRef, Q, QuerySet, Subquery, When

from accounts.models import APIToken
from accounts.queries import bound_token
from sessions_app.models import Grant


def outlived_token(text: str, ref: str, now: dt.datetime) -> APIToken | None:
    """Return a run's token that has expired while a grant requested with the token is still active; otherwise
    None.

    A run's token is short-lived, but its job may take long. Until the grant's deadline, the expired token can
    still read the grant, send its heartbeats and end it, but do nothing else.
    """
    token = bound_token(text)
    if token is None:
        return None
    grants = _requested_with(token.identity_id, token.workflow, token.expires_at, now)
    return token if grants.filter(ref=ref).exists() else None


def live_tokens(now: dt.datetime) -> QuerySet[APIToken]:
    """Return the tokens that are still usable: valid ones, and those that `outlived_token` accepts for a
    grant.

    For the latter, ``kept_until`` is the latest deadline of their grants.
    """
    grants = _requested_with(OuterRef("identity"), OuterRef("workflow"), OuterRef("expires_at"), now)
    deadline = Subquery(grants.order_by("-expires_at").values("expires_at")[:1], output_field=DateTimeField())
    # The list of workflows is read only once, so that a machine's many expired tokens are not checked one by
    # one.
    runs = Grant.objects.filter(expires_at__gt=now, workflow__isnull=False).values("workflow__ref")
    outlived = Q(workflow__in=runs) & Q(Exists(grants))
    found = APIToken.objects.filter(revoked_at__isnull=True).filter(Q(expires_at__gt=now) | outlived)
    return found.annotate(kept_until=Case(When(expires_at__lte=now, then=deadline)))


def _requested_with(identity: Any, workflow: Any, until: Any, now: dt.datetime) -> QuerySet[Grant]:
    """Return the grants before their deadline that were requested with a token: by its identity, for its
    workflow, and before it expired.
    """
    return Grant.objects.filter(
        holder=identity, workflow__ref=workflow, request__created_at__lte=until, expires_at__gt=now
    )
