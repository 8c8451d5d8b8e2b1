"""Earlier requests that the reader can submit again."""

from __future__ import annotations

from typing import NamedTuple

from accounts.models import Identity
from broker.kernel.postgresql.rows import Rows
from sessions_app.models import AccessRequest, RequestKind


class Again(NamedTuple):
    """An earlier request that can be submitted again."""

    ref: str
    cluster: str
    command_set: str
    duration: int


_LATEST = Rows(
    AccessRequest,
    "cluster",
    "command_set_version__command_set",
    only=("number", "duration", "cluster__name", "command_set_version__command_set__name"),
    # An array, so that the other tables are joined only to these rows.
    tail="""
WHERE sessions_app_accessrequest.id = ANY(ARRAY(
    SELECT id FROM sessions_app_accessrequest WHERE requester_id = %s AND kind <> ALL(%s)
     ORDER BY number DESC LIMIT 40))
ORDER BY sessions_app_accessrequest.number DESC
""",
)
_ONCE = [RequestKind.EXTENSION.value, RequestKind.BREAK_GLASS.value, RequestKind.INCIDENT.value]


def again(identity: Identity, most: int = 3) -> list[Again]:
    """Return the identity's latest requests, one for each pair of cluster and command set, latest first."""
    latest: dict[tuple[str, str], Again] = {}
    for one in _LATEST(identity.pk, _ONCE):
        pair = one.cluster.name, one.command_set_version.command_set.name
        latest.setdefault(pair, Again(one.ref, *pair, one.duration))
    return list(latest.values())[:most]
