"""The outcome that a request would have, for dry runs."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from accounts.models import Identity
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandSetVersion,
    Grant,
    GrantQuerySet,
    Target,
    Workflow,
)
from sessions_app.policy.case import Case
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.decision import Decision
from sessions_app.policy.policies import Clause, PolicyDocument
from sessions_app.queries.requests import deciders
from sessions_app.queries.requests.existing_access import held_already, held_by_others


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The outcome that a request would have: its decision, policy and exact scope, and who else has access at
    that time.

    ``draft`` is the request as it would be stored, without a number. Its rules and digest are the same as for
    any request. ``parameters`` include those taken from the workflow. ``starts_later``: if the request were
    approved now, access would not start immediately. Values that only pages need are queried when they are
    read.
    """

    case: Case
    decision: Decision
    draft: AccessRequest
    policy: AccessPolicy
    cluster: Cluster
    version: CommandSetVersion
    workflow: Workflow | None
    parameters: dict[str, str]
    targets: tuple[Target, ...]
    compiled: CompiledSet
    starts_at: dt.datetime
    ends_at: dt.datetime
    starts_later: bool
    lapses_at: dt.datetime
    digest: str

    @property
    def document(self) -> PolicyDocument:
        """The document of the policy."""
        return self.case.policy

    @property
    def reviewed(self) -> bool:
        """Whether the access needs no approval, so that another person has to review it."""
        return self.case.review_within is not None

    @cached_property
    def approvers(self) -> tuple[tuple[Clause, tuple[Identity, ...]], ...]:
        """The people whose approval would count, for each clause."""
        return tuple(
            (clause, tuple(deciders.eligible_approvers(clause, self.draft.requester)))
            for clause in self.decision.clauses
        )

    @cached_property
    def overlaps(self) -> tuple[Grant, ...]:
        """Other holders' grants at that time, if the requester can see them; at most 20."""
        seen = self.by_others().visible_to(self.draft.requester)
        return tuple(seen.select_related("holder", "command_set_version__command_set")[:20])

    @cached_property
    def others(self) -> int:
        """The number of other holders' grants that are not in ``overlaps``."""
        there = self.by_others()
        return there.exclude(pk__in=there.visible_to(self.draft.requester).values("pk")).count()

    @cached_property
    def already(self) -> Grant | None:
        """The requester's own grant that already gives the same access."""
        return held_already(
            self.draft.requester, self.cluster, self.version, self.parameters, self.targets, self.starts_at
        )

    def by_others(self) -> GrantQuerySet:
        """Return other holders' grants on the cluster at that time, even those that the requester can't
        see.
        """
        return held_by_others(self.draft.requester, self.cluster, self.starts_at, self.ends_at)
