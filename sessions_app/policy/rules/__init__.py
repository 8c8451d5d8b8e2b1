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
)

__all__ = [
    "SWEEPER_SILENCE",
    "Ask",
    "AtOnce",
    "BreakGlassReviewed",
    "Covers",
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
    "WithinWorkflow",
    "WorkflowFacts",
    "WorkflowFits",
    "WorkflowFresh",
    "WorkflowOnCluster",
    "WorkflowOpen",
]
