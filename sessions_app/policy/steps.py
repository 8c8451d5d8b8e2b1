"""The steps of the access lifecycle, and the rules that apply at each step."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from sessions_app.policy import rules
from sessions_app.policy.decision import Tagged


class Step(Enum):
    """A step of the access lifecycle.

    At each step, the rules are evaluated again to decide whether access can be granted or kept.
    """

    REQUEST = auto()
    APPROVE = auto()
    START = auto()
    GO_ON = auto()
    EXTEND = auto()


_ALWAYS = frozenset(Step)
_ON_GRANTS = frozenset({Step.START, Step.GO_ON, Step.EXTEND})
# For requests only. A grant is not refused because of its planned start time, or because its holder now owes
# a review. A separate rule counts its approvals again.
_ON_REQUESTS = frozenset({Step.REQUEST, Step.APPROVE})
# For a request and the start. A running grant is not refused because of its time, or because a responder
# handed over on-call duty. Access outside the planned time of its workflow ends when that time changes.
_UNTIL_THE_START = _ON_REQUESTS | {Step.START}
_ON_EXTENSION = frozenset({Step.EXTEND})

STEPS: Mapping[type[Tagged], frozenset[Step]] = {
    rules.RequesterEnabled: _ALWAYS,
    rules.Covers: _ALWAYS,
    rules.MayRequest: _ALWAYS,
    rules.KindsFit: _ALWAYS,
    rules.HasTargets: _ALWAYS,
    rules.SweeperAlive: _ON_REQUESTS,
    rules.MayBreakGlass: _ALWAYS,
    rules.BreakGlassReviewed: _ON_REQUESTS,
    rules.AtOnce: _ON_REQUESTS,
    rules.MaxDuration: _ALWAYS,
    rules.Start: _ON_REQUESTS,
    rules.Reason: _ALWAYS,
    rules.NotFrozen: _ALWAYS,
    rules.EnoughApprovers: _ON_REQUESTS,
    rules.InWindow: _UNTIL_THE_START,
    rules.Ticket: _ALWAYS,
    rules.IncidentOpen: _ALWAYS,
    rules.IncidentOnCluster: _ALWAYS,
    rules.OnCall: _UNTIL_THE_START,
    rules.OwnIncident: _ALWAYS,
    rules.OwnIncidentReviewed: _ON_REQUESTS,
    rules.WorkflowOpen: _ALWAYS,
    rules.WorkflowOnCluster: _ALWAYS,
    rules.WorkflowFits: _ALWAYS,
    rules.RoleInWorkflow: _UNTIL_THE_START,
    rules.WorkflowFresh: _ALWAYS,
    rules.WithinWorkflow: _UNTIL_THE_START,
    rules.WorkflowVouches: _ON_REQUESTS,
    # A moved planned end does not prevent an extension, because it was moved for the extension.
    rules.ScopeUnchanged: frozenset({Step.START, Step.GO_ON}),
    # An extension that people approve has its own approvals.
    rules.ApprovalsStand: _ON_GRANTS,
    # Otherwise, a person who changes the workflow of a running grant could end it for others.
    rules.WorkflowStillVouches: frozenset({Step.START, Step.EXTEND}),
    rules.NotDelegated: _ON_EXTENSION,
    rules.MayExtend: _ON_EXTENSION,
    rules.ExtensionLength: _ON_EXTENSION,
    rules.OneExtension: _ON_EXTENSION,
    rules.ExtensionsLeft: _ON_EXTENSION,
    rules.ExtensionWithinWorkflow: _ON_EXTENSION,
    rules.ExtensionInWindow: _ON_EXTENSION,
    rules.ExtensionNotFrozen: _ON_EXTENSION,
}
