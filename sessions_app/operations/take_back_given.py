"""Make worthless what a trust policy gave."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import TrustPolicy
from sessions_app.queries.given import live_given


def take_back_given(*, policy: TrustPolicy, now: dt.datetime) -> int:
    """Revoke every live token that machines got by the trust policy, and return how many. The caller records it, in the
    transaction that changes the policy.
    """
    # First, so that an exchange at this moment is over, and its token seen, or finds the policy changed.
    TrustPolicy.objects.select_for_update(no_key=True).get(pk=policy.pk)
    return live_given(policy, now).update(revoked_at=now)
