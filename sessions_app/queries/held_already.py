"""What somebody who asks has already, so that they need not ask."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping

from accounts.models import Identity
from sessions_app.models import Cluster, CommandSetVersion, Grant, GrantQuerySet, Target


def held_already(
    holder: Identity,
    cluster: Cluster,
    version: CommandSetVersion,
    parameters: Mapping[str, str],
    targets: Collection[Target],
    starts_at: dt.datetime,
) -> Grant | None:
    """Return the grant that gives the same already at the start that is asked for, the one that ends last: the same version of the
    command set, whole, bound to the same values, on all of the targets; None: there is none.
    """  # fmt: skip
    found = Grant.objects.before_end().filter(
        holder=holder, cluster=cluster, command_set_version=version, parameters=dict(parameters),
        commands=list(range(len(version.document.get("commands", [])))), starts_at__lte=starts_at, expires_at__gt=starts_at,
    )  # fmt: skip
    wanted = {target.pk for target in targets}
    return next(
        (one for one in found.prefetch_related("targets").order_by("-expires_at") if wanted and wanted <= {t.pk for t in one.targets.all()}),
        None,
    )  # fmt: skip


def held_by_others(
    requester: Identity, cluster: Cluster, starts_at: dt.datetime, ends_at: dt.datetime
) -> GrantQuerySet:
    """Return the grants of others on the cluster in that time. Who they are is told only to those who may see them."""
    return (
        Grant.objects.not_ended()
        .filter(cluster=cluster, starts_at__lt=ends_at, expires_at__gt=starts_at)
        .exclude(holder=requester)
        .order_by("starts_at")
    )
