"""The rules, each a frozen dataclass that answers Permit or Deny. A rule that can't tell denies.

To change one: only add fields with a default; a new meaning is a new rule.
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
