"""Tokens issued to machines under a trust policy."""

from __future__ import annotations

import datetime as dt

from django.db.models import QuerySet

from accounts.models import APIToken
from sessions_app.models import TrustPolicy
from sessions_app.queries.identities.api_tokens import live_tokens


def live_given(policy: TrustPolicy, now: dt.datetime) -> QuerySet[APIToken]:
    """Return the tokens that machines received under the policy and that are still usable."""
    given = live_tokens(now).filter(identity=policy.identity_id, label__startswith=f"{policy.name} ")
    return given.exclude(workflow="")
