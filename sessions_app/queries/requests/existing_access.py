"""Existing grants, so that people don't request what they already have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping

from accounts.models import Identity
from broker.kernel.postgresql.rows import ask
from sessions_app.models import Cluster, CommandSetVersion, Grant, GrantQuerySet, Target


def held_already(
    holder: Identity,
    cluster: Cluster,
    version: CommandSetVersion,
    parameters: Mapping[str, str],
    targets: Collection[Target],
    starts_at: dt.datetime,
) -> Grant | None:
    """Return the grant that already gives the same access at the requested start; None if there is none.

    The grant has the same version of the command set with all of its commands, the same parameters, and all
    of the targets. If there are several, the grant that ends last is returned.
    """
    found = Grant.objects.before_end().filter(
        holder=holder,
        cluster=cluster,
        command_set_version=version,
        parameters=dict(parameters),
        commands=list(range(len(version.document.get("commands", [])))),
        starts_at__lte=starts_at,
        expires_at__gt=starts_at,
    )
    wanted = {target.pk for target in targets}
    return next(
        (
            one
            for one in found.prefetch_related("targets").order_by("-expires_at")
            if wanted and wanted <= {t.pk for t in one.targets.all()}
        ),
        None,
    )


def held_by_others(
    requester: Identity, cluster: Cluster, starts_at: dt.datetime, ends_at: dt.datetime
) -> GrantQuerySet:
    """Return other holders' grants on the cluster during that time.

    Show the holders only to people who can see the grants.
    """
    return (
        Grant.objects.not_ended()
        .filter(cluster=cluster, starts_at__lt=ends_at, expires_at__gt=starts_at)
        .exclude(holder=requester)
        .order_by("starts_at")
    )


_OTHER_HOLDERS = """
SELECT count(DISTINCT holder_id) FROM sessions_app_grant
 WHERE cluster_id = %s AND state <> 'ended' AND starts_at < %s AND expires_at > %s AND holder_id <> %s
"""


def count_other_holders(
    requester: Identity, cluster: Cluster, starts_at: dt.datetime, ends_at: dt.datetime
) -> int:
    """Return the number of holders of the grants of ``held_by_others``."""
    ((count,),) = ask(_OTHER_HOLDERS, cluster.pk, ends_at, starts_at, requester.pk)
    return int(count)
