"""The clusters of grants that are being revoked or provisioned, and the leases that still need to be
created.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable, Sequence

from django.db.models import Q, QuerySet

from broker.kernel.postgresql.rows import ask
from sessions_app.connectors.ssh.files import leftovers
from sessions_app.models import Grant, GrantState, Installation, Lease, RunState
from sessions_app.policy.commands.ssh.file_rules import PutFile
from sessions_app.queries.catalog.command_sets import compiled

# The maximum number of other grants' marks in one call to a target.
NEIGHBORS = 500
# The maximum number of unfinished uploads that the end of a grant looks for.
UPLOADS = 200


_DUE = """
SELECT id, cluster_id FROM sessions_app_grant
 WHERE id = ANY(%s) AND state = 'revoking' AND next_attempt_at <= %s
"""


def clusters_to_revoke(grant_ids: Iterable[int], now: dt.datetime) -> dict[int, int]:
    """Return the cluster id of each given grant that is due for revocation, in the given order. Grants that
    another process has claimed are left out.
    """
    wanted = list(grant_ids)
    found = dict(ask(_DUE, wanted, now))
    return {grant_id: found[grant_id] for grant_id in wanted if grant_id in found}


def clusters_to_make(grant_ids: Iterable[int]) -> dict[int, int]:
    """Return the cluster id of each given grant for which access may have to be created, earliest start
    first.
    """
    making = Grant.objects.filter(state__in=[GrantState.PROVISIONING, GrantState.ACTIVE])
    rows = making.filter(pk__in=list(grant_ids)).order_by("starts_at", "pk")
    return dict(rows.values_list("pk", "cluster_id"))


def clusters_of_leases(lease_ids: Iterable[int]) -> dict[int, int]:
    """Return the cluster id of each given lease, in id order."""
    rows = Lease.objects.filter(pk__in=list(lease_ids)).order_by("pk")
    return dict(rows.values_list("pk", "grant__cluster_id"))


_IN_USE = "SELECT 1 FROM sessions_app_session WHERE grant_id = %s AND closed_at IS NULL LIMIT 1"


def is_in_use(grant: Grant) -> bool:
    """Whether a gateway has not yet reported a session of the grant as closed."""
    return bool(ask(_IN_USE, grant.pk))


def to_make(grant: Grant) -> QuerySet[Lease]:
    """Return the leases of a grant whose access must be created on the target, because it does not exist
    yet, has expired, or expires too early.
    """
    waiting = Q(made_until__isnull=True) | Q(made_until__lt=grant.expires_at)
    return grant.leases.filter(waiting, gone_at__isnull=True)


def installation_mark() -> str:
    """Return the 8 hexadecimal digits with which the mark of every grant of this installation begins."""
    for (mark,) in ask("SELECT mark FROM sessions_app_installation WHERE id = 1"):
        return str(mark)
    row, _ = Installation.objects.get_or_create(pk=1, defaults={"mark": secrets.token_hex(4)})
    return row.mark


_NEIGHBORS = """
SELECT l.address, l.port, g.mark FROM sessions_app_lease l JOIN sessions_app_grant g ON g.id = l.grant_id
 WHERE l.gone_at IS NULL AND l.address = ANY(%s) AND l.grant_id <> %s
"""


def neighbors_of(grant: Grant, leases: Sequence[Lease]) -> dict[tuple[str, int], list[str]]:
    """Return the marks of other grants that may have access at the hosts of these leases, by address and
    port.
    """
    marks: dict[tuple[str, int], list[str]] = {(lease.address, lease.port): [] for lease in leases}
    for address, port, mark in ask(_NEIGHBORS, list({address for address, _ in marks}), grant.pk):
        known = marks.get((address, port))
        if known is not None and len(known) < NEIGHBORS:
            known.append(mark)
    return marks


def unfinished_uploads(grant: Grant) -> dict[int, list[str]]:
    """Return, by the id of their target, the temporary files that uploads of a grant may have left: the
    latest ones, at most ``UPLOADS`` in total.
    """
    found: dict[int, list[str]] = {}
    if _uploads(grant):
        runs = grant.runs.filter(state__in=[RunState.CUT, RunState.RUNNING], argv__0="put").order_by("-pk")
        for pk, target, argv in runs.values_list("pk", "target_id", "argv")[:UPLOADS]:
            found.setdefault(target, []).extend(leftovers([(pk, argv)], grant.mark))
    return found


def _uploads(grant: Grant) -> bool:
    """Whether a grant can have uploaded files. If its commands can't be read, the worst case is assumed."""
    try:
        commands = compiled(grant.command_set_version, grant.parameters, grant.commands).commands
    except ValueError:
        return grant.cluster.kind == "ssh"
    return any(isinstance(command.rule, PutFile) for command in commands)


def how_commands_ran(grant: Grant) -> dict[str, bool]:
    """Return how a grant's commands ran: whether all were ``contained`` in namespaces of their own, which end
    with the commands, and whether any ran ``as_root``.

    If the commands can't be read, the worst case is assumed.
    """
    try:
        commands = compiled(grant.command_set_version, grant.parameters, grant.commands).commands
    except ValueError:
        return {"contained": False, "as_root": True}
    return {
        "contained": all(getattr(command, "contain", None) == "pidns" for command in commands),
        "as_root": any(getattr(command.rule, "as_root", False) for command in commands),
    }
