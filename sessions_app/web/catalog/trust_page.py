"""Data for the trust policy pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from accounts.models import Identity
from sessions_app.models import TrustPolicy
from sessions_app.queries.identities.machine_tokens import live_given

START = """name: payments-deploy
summary: Deploys releases of payments
issuer: https://token.actions.githubusercontent.com
audience: https://stint.example.com
required_claims:
  repository_id: "123456789"
  repository_owner_id: "1234567"
  environment: production
speaks_as: deployer
workflow: github:{repository_id}:{run_id}:{run_attempt}:{check_run_id}
"""


def trust_policies(reader: Identity) -> Sequence[TrustPolicy]:
    """Return the trust policies that the reader can see, sorted by name."""
    live = TrustPolicy.objects.live().visible_to(reader)
    return list(live.select_related("identity__owner").order_by("name")[:200])


def count_given(policy: TrustPolicy, now: dt.datetime) -> int:
    """Return the number of valid API tokens issued under a policy."""
    return live_given(policy, now).count()
