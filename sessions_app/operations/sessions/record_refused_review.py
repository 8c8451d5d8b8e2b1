"""Record an access review in which Stint denied a request of a grant's account.

A review only checks access, as `kubectl auth can-i` does, so it is not a run and does not count as a
deviation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from accounts.actors import actor_of
from broker.audit.attempts import record_attempt
from broker.audit.events import Event
from broker.kernel.text import recordable, recordable_line
from sessions_app.models import Grant
from sessions_app.operations.sessions.record_refused_request import (
    UNKNOWN,
    why_over,
    why_suspended,
)
from sessions_app.operations.sessions.try_command import MAX_REASON


def record_refused_review(
    *, mark: str, cluster: str, line: str, reason: str, code: str, now: dt.datetime
) -> None:
    """Record a denied review for the account with this mark. A review for an unknown mark is not recorded."""
    grant = Grant.objects.select_related("holder").filter(mark=mark).first()
    if grant is None:
        return
    record_attempt(
        event=Event.COMMAND_REFUSED,
        actor=actor_of(grant.holder),
        object_type="grant",
        object_ref=grant.ref,
        now=now,
        data={
            "target": cluster,
            "line": recordable_line(line),
            "why": recordable(reason[:MAX_REASON]),
            "code": code,
            "proof": "account",
        },
        source=f"account {mark}",
    )


@dataclass(frozen=True, slots=True)
class DeadAccount:
    """The grant of an account that currently has no access, the cluster that sent the review, and the
    reason.
    """

    grant_ref: str
    holder_id: int
    cluster: str
    reason: str


def record_dead_account(
    *, mark: str, clusters: Mapping[int, str], line: str, now: dt.datetime
) -> DeadAccount | None:
    """Record a review for an account whose grant can't be used on these clusters.

    Return None for an unknown account. ``clusters`` maps ids to names of the clusters that may have sent the
    review.
    """
    grant = Grant.objects.filter(mark=mark).first()
    if grant is None:
        return None
    why = why_over(grant, now) or (
        "the grant is for another cluster" if grant.cluster_id not in clusters else ""
    )
    why = why or why_suspended(grant) or UNKNOWN
    cluster = clusters.get(grant.cluster_id) or next(iter(clusters.values()))
    record_refused_review(mark=mark, cluster=cluster, line=line, reason=why, code="over", now=now)
    return DeadAccount(grant.ref, grant.holder_id, cluster, why)
