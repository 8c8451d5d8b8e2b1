"""The rules, each a frozen dataclass that returns Permit or Deny. A rule denies if facts are missing.

An existing rule can only gain fields with a default. A rule with a new meaning requires a new class.
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
from sessions_app.policy.rules.extending import (
    ExtensionInWindow,
    ExtensionLength,
    ExtensionNotFrozen,
    ExtensionsLeft,
    ExtensionWithinWorkflow,
    MayExtend,
    NotDelegated,
    OneExtension,
)
from sessions_app.policy.rules.facts import Ask, Facts, GrantFacts, Rule, WorkflowFacts
from sessions_app.policy.rules.standing import ApprovalsStand, ScopeUnchanged, WorkflowStillVouches
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

__all__ = [
    "SWEEPER_SILENCE",
    "UNTOLD",
    "Act",
    "ApprovalsStand",
    "Ask",
    "AtOnce",
    "BreakGlassReviewed",
    "Covers",
    "Doing",
    "EnoughApprovers",
    "ExtensionInWindow",
    "ExtensionLength",
    "ExtensionNotFrozen",
    "ExtensionWithinWorkflow",
    "ExtensionsLeft",
    "Facts",
    "GrantFacts",
    "HasTargets",
    "InWindow",
    "IncidentOnCluster",
    "IncidentOpen",
    "KindsFit",
    "MaxDuration",
    "MayBreakGlass",
    "MayExtend",
    "MayRequest",
    "NotDelegated",
    "NotFrozen",
    "OnCall",
    "OneExtension",
    "OwnIncident",
    "OwnIncidentReviewed",
    "Reason",
    "RequesterEnabled",
    "RoleInWorkflow",
    "Rule",
    "ScopeUnchanged",
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
    "WorkflowStillVouches",
    "WorkflowVouches",
]
