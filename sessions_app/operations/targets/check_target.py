"""Request a check of a target. A worker carries it out."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.models import Identity
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import Forbidden, NotFound
from sessions_app.models import Cluster, Target, TargetCheck

# A check that has waited or run for this long is considered lost, and a new check is created.
GIVEN_UP = dt.timedelta(minutes=2)


class OnlyAdministratorsCheck(Forbidden):
    """Only administrators of the cluster can check its targets, because a check logs in to the target."""

    code = "only_administrators"


def check_target(*, target_id: int, actor: Identity, now: dt.datetime) -> TargetCheck:
    """Request a step-by-step check of a target. If a check is already in progress, return that check instead
    of creating another.

    Raises NotFound, OnlyAdministratorsCheck.
    """
    with transaction.atomic():
        target = (
            Target.objects.live().select_for_update(no_key=True, of=("self",)).filter(pk=target_id).first()
        )
        if target is None:
            raise NotFound("Target not found.")
        if not Cluster.objects.administered_by(actor).filter(pk=target.cluster_id).exists():
            raise OnlyAdministratorsCheck("Only administrators of the cluster can check its targets.")
        waiting = (
            target.checks.filter(finished_at__isnull=True, asked_at__gt=now - GIVEN_UP)
            .order_by("-pk")
            .first()
        )
        if waiting is not None:
            return waiting
        check = TargetCheck.objects.create(target=target, asked_by=actor, asked_at=now)
        enqueue("targets.check", check_id=check.pk)
    return check
