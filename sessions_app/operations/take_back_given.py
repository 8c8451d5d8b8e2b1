"""Make worthless what a trust policy gave."""

from __future__ import annotations

import datetime as dt

from accounts.models import APIToken
from sessions_app.models import TrustPolicy


def take_back_given(*, policy: TrustPolicy, now: dt.datetime) -> int:
    """Revoke every live token that machines got by the trust policy, and return how many. The caller records it, in the
    transaction that changes the policy.
    """
    # First, so that an exchange at this moment is over, and its token seen, or finds the policy changed.
    TrustPolicy.objects.select_for_update(no_key=True).get(pk=policy.pk)
    given = APIToken.objects.filter(
        identity=policy.identity_id,
        label__startswith=f"{policy.name} ",
        revoked_at__isnull=True,
        expires_at__gt=now,
    )
    return given.exclude(workflow="").update(revoked_at=now)
