"""The nouns. Verbs that write them stand in ``sessions_app.operations``."""

from sessions_app.models.authority import SigningKey
from sessions_app.models.catalogue import (
    Cluster,
    ClusterGroupObjectPermission,
    ClusterUserObjectPermission,
    CommandSet,
    CommandSetVersion,
    Environment,
    Kind,
    Risk,
    Target,
)
from sessions_app.models.grant import EndReason, Grant, GrantState, Lease
from sessions_app.models.notice import Notice
from sessions_app.models.policy import (
    AccessPolicy,
    AccessPolicyGroupObjectPermission,
    AccessPolicyUserObjectPermission,
)
from sessions_app.models.request import (
    AccessRequest,
    Approval,
    IdempotencyKey,
    RequestKind,
    RequestState,
    Verdict,
)
from sessions_app.models.session import CommandRun, GatewayNode, RunState, Session, Sweeper

__all__ = [
    "AccessPolicy",
    "AccessPolicyGroupObjectPermission",
    "AccessPolicyUserObjectPermission",
    "AccessRequest",
    "Approval",
    "Cluster",
    "ClusterGroupObjectPermission",
    "ClusterUserObjectPermission",
    "CommandRun",
    "CommandSet",
    "CommandSetVersion",
    "EndReason",
    "Environment",
    "GatewayNode",
    "Grant",
    "GrantState",
    "IdempotencyKey",
    "Kind",
    "Lease",
    "Notice",
    "RequestKind",
    "RequestState",
    "Risk",
    "RunState",
    "Session",
    "SigningKey",
    "Sweeper",
    "Target",
    "Verdict",
]
