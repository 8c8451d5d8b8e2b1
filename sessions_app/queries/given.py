"""What a trust policy gave to machines."""

from __future__ import annotations

import datetime as dt

from django.db.models import QuerySet

from accounts.models import APIToken
from sessions_app.models import TrustPolicy


def live_given(policy: TrustPolicy, now: dt.datetime) -> QuerySet[APIToken]:
    """Return the tokens that machines got by the policy and that are good still."""
    given = APIToken.objects.filter(
        identity=policy.identity_id,
        label__startswith=f"{policy.name} ",
        revoked_at__isnull=True,
        expires_at__gt=now,
    )
    return given.exclude(workflow="")
