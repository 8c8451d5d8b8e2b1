"""The rules, each a frozen dataclass that returns Permit or Deny. A rule denies if it lacks facts.

To change a rule, only add fields that have a default. A new meaning is a new rule.
"""

from __future__ import annotations

from sessions_app.policy.rules.asking import (
    SWEEPER_SILENCE,
    Covers,
    EnoughApprovers,
    HasTargets,
    KindsFit,
    MayRequest,
    Reason,
    RequesterEnabled,
    SweeperAlive,
    Ticket,
)
from sessions_app.policy.rules.doing import UNTOLD, Act, Doing, Whose
from sessions_app.policy.rules.emergencies import (
    AtOnce,
    BreakGlassReviewed,
    IncidentOnCluster,
    IncidentOpen,
    MayBreakGlass,
    OnCall,
    OwnIncident,
    OwnIncidentReviewed,
)
from sessions_app.policy.rules.facts import Ask, Facts, Rule, WorkflowFacts
from sessions_app.policy.rules.times import InWindow, MaxDuration, NotFrozen, Start
from sessions_app.policy.rules.workflow import (
    RoleInWorkflow,
    WithinWorkflow,
    WorkflowFits,
    WorkflowFresh,
    WorkflowOnCluster,
    WorkflowOpen,
    WorkflowVouches,
)

# These bind a request alone. No grant is refused for the time it was to start at, or for a review that its holder owes
# since then. Approvals are counted again by themselves.
BIND_THE_REQUEST: frozenset[type[Rule]] = frozenset(
    {Start, AtOnce, BreakGlassReviewed, OwnIncidentReviewed, EnoughApprovers, SweeperAlive}
)
# These bind a request and the start. A running grant is not refused for its time, or because a responder handed over the
# duty. What leaves the planned time of its workflow ends when that time changes.
BIND_UNTIL_THE_START: frozenset[type[Rule]] = frozenset({InWindow, OnCall, RoleInWorkflow, WithinWorkflow})

__all__ = [
    "BIND_THE_REQUEST",
    "BIND_UNTIL_THE_START",
    "SWEEPER_SILENCE",
    "UNTOLD",
    "Act",
    "Ask",
    "AtOnce",
    "BreakGlassReviewed",
    "Covers",
    "Doing",
    "EnoughApprovers",
    "Facts",
    "HasTargets",
    "InWindow",
    "IncidentOnCluster",
    "IncidentOpen",
    "KindsFit",
    "MaxDuration",
    "MayBreakGlass",
    "MayRequest",
    "NotFrozen",
    "OnCall",
    "OwnIncident",
    "OwnIncidentReviewed",
    "Reason",
    "RequesterEnabled",
    "RoleInWorkflow",
    "Rule",
    "Start",
    "SweeperAlive",
    "Ticket",
    "Whose",
    "WithinWorkflow",
    "WorkflowFacts",
    "WorkflowFits",
    "WorkflowFresh",
    "WorkflowOnCluster",
    "WorkflowOpen",
    "WorkflowVouches",
]
