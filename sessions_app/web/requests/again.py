"""Earlier requests that the reader can submit again."""

from __future__ import annotations

from typing import NamedTuple

from accounts.models import Identity
from sessions_app.models import AccessRequest, RequestKind
from sessions_app.policy import references


class Again(NamedTuple):
    """An earlier request that can be submitted again."""

    ref: str
    cluster: str
    command_set: str
    duration: int


def again(identity: Identity, most: int = 3) -> list[Again]:
    """Return the identity's latest requests, one for each pair of cluster and command set, latest first."""
    rows = (
        AccessRequest.objects.filter(requester=identity)
        .exclude(kind__in=[RequestKind.EXTENSION, RequestKind.BREAK_GLASS, RequestKind.INCIDENT])
        .order_by("-number")
        .values_list("number", "cluster__name", "command_set_version__command_set__name", "duration")[:40]
    )
    latest: dict[tuple[str, str], Again] = {}
    for number, cluster, command_set, duration in rows:
        one = Again(references.request_ref(number), cluster, command_set, duration)
        latest.setdefault((cluster, command_set), one)
    return list(latest.values())[:most]
