"""Database models. The code that writes them is in ``sessions_app.operations``."""

from sessions_app.models.authority import SigningKey
from sessions_app.models.bookmark import Bookmark, BookmarkPage
from sessions_app.models.budget_use import BudgetUse
from sessions_app.models.catalog import (
    Cluster,
    ClusterGroupObjectPermission,
    ClusterUserObjectPermission,
    CommandSet,
    CommandSetVersion,
    Environment,
    Observed,
    Risk,
    Target,
)
from sessions_app.models.credential import GrantCredential, ProofUsed, RequestCount
from sessions_app.models.document_version import DocumentVersion
from sessions_app.models.end_intent import EndIntent
from sessions_app.models.ends_of_day import EndCause, EndsOfDay
from sessions_app.models.escalation import Escalation
from sessions_app.models.grant import EndReason, Grant, GrantQuerySet, Lease, PurgedGrant
from sessions_app.models.grant_state import BEFORE_END, GrantState
from sessions_app.models.held_commit import HeldCommit
from sessions_app.models.held_file import HeldFile
from sessions_app.models.idempotency_key import IdempotencyKey
from sessions_app.models.legal_hold import LegalHold
from sessions_app.models.notice import Asks, Notice
from sessions_app.models.order import CommandOrder
from sessions_app.models.ordered_file import FilePiece, OrderedFile
from sessions_app.models.policy import (
    AccessPolicy,
    AccessPolicyGroupObjectPermission,
    AccessPolicyUserObjectPermission,
    requestable,
)
from sessions_app.models.proposal import Proposal, ProposalState
from sessions_app.models.reconcile import Drift, DriftKind, Installation, Observation
from sessions_app.models.request import (
    AccessRequest,
    Approval,
    Comment,
    RequestKind,
    RequestState,
    Verdict,
)
from sessions_app.models.returned_value import ReturnedValue
from sessions_app.models.run_stop import RunStop
from sessions_app.models.session import CommandRun, GatewayNode, ReadStatement, RunState, Session, Sweeper
from sessions_app.models.settled_day import Settled, SettledCount, SettledDay
from sessions_app.models.stored_recording import StoredRecording
from sessions_app.models.target_check import TargetCheck
from sessions_app.models.trust import TrustPolicy
from sessions_app.models.watch import Watch, WatchQuerySet
from sessions_app.models.webhook import (
    WebhookEndpoint,
    WebhookMessage,
    WebhookScope,
    WebhookState,
)
from sessions_app.models.workflow import (
    OWN,
    DeliveryState,
    InboundDelivery,
    Severity,
    Workflow,
    WorkflowKind,
    WorkflowSource,
    WorkflowState,
)

__all__ = [
    "BEFORE_END",
    "OWN",
    "AccessPolicy",
    "AccessPolicyGroupObjectPermission",
    "AccessPolicyUserObjectPermission",
    "AccessRequest",
    "Approval",
    "Asks",
    "Bookmark",
    "BookmarkPage",
    "BudgetUse",
    "Cluster",
    "ClusterGroupObjectPermission",
    "ClusterUserObjectPermission",
    "CommandOrder",
    "CommandRun",
    "CommandSet",
    "CommandSetVersion",
    "Comment",
    "DeliveryState",
    "DocumentVersion",
    "Drift",
    "DriftKind",
    "EndCause",
    "EndIntent",
    "EndReason",
    "EndsOfDay",
    "Environment",
    "Escalation",
    "FilePiece",
    "GatewayNode",
    "Grant",
    "GrantCredential",
    "GrantQuerySet",
    "GrantState",
    "HeldCommit",
    "HeldFile",
    "IdempotencyKey",
    "InboundDelivery",
    "Installation",
    "Lease",
    "LegalHold",
    "Notice",
    "Observation",
    "Observed",
    "OrderedFile",
    "ProofUsed",
    "Proposal",
    "ProposalState",
    "PurgedGrant",
    "ReadStatement",
    "RequestCount",
    "RequestKind",
    "RequestState",
    "ReturnedValue",
    "Risk",
    "RunState",
    "RunStop",
    "Session",
    "Settled",
    "SettledCount",
    "SettledDay",
    "Severity",
    "SigningKey",
    "StoredRecording",
    "Sweeper",
    "Target",
    "TargetCheck",
    "TrustPolicy",
    "Verdict",
    "Watch",
    "WatchQuerySet",
    "WebhookEndpoint",
    "WebhookMessage",
    "WebhookScope",
    "WebhookState",
    "Workflow",
    "WorkflowKind",
    "WorkflowSource",
    "WorkflowState",
    "requestable",
]
