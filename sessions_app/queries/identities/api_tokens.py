"""Queries about API tokens."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Case, DateTimeField, Exists, OuterRef, Q, QuerySet, Subquery, When

from accounts.models import APIToken
from accounts.queries import bound_token
from sessions_app.models import Grant


def outlived_token(text: str, ref: str, now: dt.datetime) -> APIToken | None:
    """Return the token of a run that has expired while a grant requested with it has not; otherwise None.

    The token of a run is short-lived, and its job may be long. Until the grant's deadline, the expired token can still
    keep the grant alive, read it and end it, and nothing else.
    """
    token = bound_token(text)
    if token is None:
        return None
    grants = _requested_with(token.identity_id, token.workflow, token.expires_at, now)
    return token if grants.filter(ref=ref).exists() else None


def live_tokens(now: dt.datetime) -> QuerySet[APIToken]:
    """Return the tokens that are good for something: valid ones, and those that `outlived_token` accepts for a grant.

    The latter have the latest deadline of their grants in ``kept_until``.
    """
    grants = _requested_with(OuterRef("identity"), OuterRef("workflow"), OuterRef("expires_at"), now)
    deadline = Subquery(grants.order_by("-expires_at").values("expires_at")[:1], output_field=DateTimeField())
    # The list of workflows is read once, so that a machine's many tokens that are over are not looked at one by one.
    runs = Grant.objects.filter(expires_at__gt=now, workflow__isnull=False).values("workflow__ref")
    outlived = Q(workflow__in=runs) & Q(Exists(grants))
    found = APIToken.objects.filter(revoked_at__isnull=True).filter(Q(expires_at__gt=now) | outlived)
    return found.annotate(kept_until=Case(When(expires_at__lte=now, then=deadline)))


def _requested_with(identity: Any, workflow: Any, until: Any, now: dt.datetime) -> QuerySet[Grant]:
    """Return the grants before their deadline that were requested with a token: by its identity, for its workflow and
    before it expired.
    """
    return Grant.objects.filter(
        holder=identity, workflow__ref=workflow, request__created_at__lte=until, expires_at__gt=now
    )
