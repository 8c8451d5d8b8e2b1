"""Propose a version of a document that may allow more than the stored one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.errors import Conflict
from sessions_app.models import Proposal, ProposalState
from sessions_app.operations.catalog.document_state import (
    NOUN,
    PAGES,
    Kind,
    record_proposal,
    settle_proposal,
    standing_of,
    state_of,
)
from sessions_app.operations.notifications.notify import notify
from sessions_app.queries.catalog.widening import publishers_of

LASTS = dt.timedelta(days=7)


class AlreadyProposed(Conflict):
    """Another person's proposal for this document is pending. Publish or deny that proposal first."""

    code = "already_proposed"


def propose_version(
    *,
    kind: Kind,
    name: str,
    source: str,
    wider: Sequence[str],
    diff: Sequence[str],
    actor: Identity,
    now: dt.datetime,
    accepted: Mapping[str, str] | None = None,
) -> Proposal:
    """Store a checked document that may allow more than the stored one. Another administrator then publishes
    or denies it.

    ``wider`` lists the keys that may allow more, ``diff`` the lines that differ, and ``accepted`` the
    accepted warnings of a command set. Replaces the actor's own pending proposal. Call this with the catalog
    locked. Raises AlreadyProposed.
    """
    earlier = Proposal.objects.select_related("proposed_by").filter(
        kind=kind, name=name, state=ProposalState.PENDING
    )
    for one in earlier.select_for_update(no_key=True, of=("self",)):
        _replace(one, actor, now)
    proposal = Proposal.objects.create(
        kind=kind,
        name=name,
        source=source,
        accepted=dict(accepted or {}),
        wider=list(wider),
        diff=list(diff),
        based_on=state_of(kind, name),
        proposed_by=actor,
        proposed_at=now,
        lapses_at=now + LASTS,
    )
    record_proposal(proposal, Event.PROPOSAL_CREATED, actor, now)
    notify(
        people=publishers_of(proposal),
        event=Event.PROPOSAL_CREATED,
        now=now,
        path=PAGES[kind].format(name),
        subject=f"{actor} proposes a change to the {NOUN[kind]} {name}",
        body=lambda say: (
            f"The change may allow more: {', '.join(wider)}.\nWithout a decision, the proposal expires "
            f"{say.moment(proposal.lapses_at)}."
        ),
    )
    return proposal


def _replace(earlier: Proposal, actor: Identity, now: dt.datetime) -> None:
    if standing_of(earlier, now) is not ProposalState.PENDING:
        earlier.state = ProposalState.LAPSED
        earlier.save(update_fields=["state"])
        return
    if earlier.proposed_by != actor:
        raise AlreadyProposed(
            f"{earlier.proposed_by} has already proposed another version of {earlier.name}. Nothing was"
            " saved.",
            hint="Publish or deny that proposal first.",
        )
    settle_proposal(
        proposal=earlier, state=ProposalState.WITHDRAWN, event=Event.PROPOSAL_WITHDRAWN, actor=actor, now=now
    )
