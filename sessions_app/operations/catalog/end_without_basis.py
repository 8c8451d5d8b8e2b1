"""End grants whose basis is gone."""

from __future__ import annotations

import datetime as dt

from django.db import models

from broker.audit.record import rehearsing
from broker.kernel.errors import StintError
from sessions_app.models import (
    EndReason,
    Grant,
    GrantState,
)
from sessions_app.operations.catalog.catalog_plan import Plan
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import why_not_start


def end_without_basis(grants: models.QuerySet[Grant], plan: Plan, now: dt.datetime) -> tuple[str, ...]:
    """End the active grants that would no longer be allowed to start, and return their references.

    Scheduled grants are checked when they start.
    """
    ended = []
    for grant in grants.filter(state__in=[GrantState.PROVISIONING, GrantState.ACTIVE]):
        reason = "" if grant.ref in plan.ending else _why_not_stand(grant, now)
        if reason:
            end_in(grant, plan, EndReason.POLICY_CHANGED, reason, now)
            ended.append(grant.ref)
    return tuple(ended)


def end_in(grant: Grant, plan: Plan, reason: EndReason, note: str, now: dt.datetime) -> None:
    """End a grant as part of a plan. A dry run only adds the grant to the plan."""
    plan.ending.add(grant.ref)
    # A dry run must not end the grant, because the grant would stay locked, and no one else could
    # end it in the meantime.
    if not rehearsing():
        end_grant(grant_id=grant.pk, actor=None, reason=reason, now=now, note=note)


def _why_not_stand(grant: Grant, now: dt.datetime) -> str:
    try:
        return why_not_start(grant, now)
    except (StintError, ValueError) as error:
        return f"The grant can no longer be checked: {error}"
