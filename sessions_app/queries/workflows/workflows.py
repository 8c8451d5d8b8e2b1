"""Queries about workflows."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q, QuerySet

from accounts.models import Identity
from sessions_app.models import (
    OWN,
    AccessRequest,
    Cluster,
    Grant,
    RequestState,
    Workflow,
    WorkflowSource,
    WorkflowState,
)
from sessions_app.policy.policies import STALENESS, WorkflowNeeded
from sessions_app.queries.requests import facts

# A workflow that was read this recently is not read again.
FRESH = dt.timedelta(seconds=10)


def split_ref(ref: str) -> tuple[str, str]:
    """Return a reference's source name and the ID at that source; an empty name for Stint's own workflows."""
    name, colon, outside_id = ref.partition(":")
    return (name, outside_id) if colon else ("", ref)


def workflow_named(ref: str) -> Workflow | None:
    """Return the workflow with a reference.

    If its source reopened a workflow that is closed in Stint, return the open one.
    """
    found = Workflow.objects.select_related("source").filter(ref=ref).first()
    if found is None or found.source is None or found.closed_at is None:
        return found
    again = Workflow.objects.open().filter(source=found.source, outside_id=found.outside_id)
    return again.select_related("source").first() or found


def workflow_for(identity: Identity, ref: str) -> Workflow | None:
    """Return the workflow with a reference, if the identity can see it."""
    found = workflow_named(ref)
    if found is None or not Workflow.objects.visible_to(identity).filter(pk=found.pk).exists():
        return None
    return found


def sources_for(identity: Identity) -> list[WorkflowSource]:
    """Return the sources that Stint can query for the identity, by name: those whose workflows can be on a
    cluster that the identity can see.
    """
    sources = list(WorkflowSource.objects.live().order_by("name"))
    if not sources:
        return []
    seen = set(Cluster.objects.live().visible_to(identity).values_list("name", flat=True))
    return [source for source in sources if seen.intersection(_clusters_of(source))]


def _clusters_of(source: WorkflowSource) -> set[str]:
    by_service = source.document.get("services", {}).values()
    return {*source.document.get("clusters", []), *(name for clusters in by_service for name in clusters)}


def source_for(identity: Identity, name: str) -> WorkflowSource | None:
    """Return the source with a name, if Stint can query it for the identity."""
    return next((source for source in sources_for(identity) if source.name == name), None)


def is_unread(identity: Identity, ref: str) -> bool:
    """Whether a reference may name an open workflow that was not read yet.

    This is the case if Stint can query the source for the identity and the workflow is not known to be open.
    Reading the workflow determines its status.
    """
    name, outside_id = split_ref(ref)
    if not name or not outside_id:
        return False
    known = workflow_for(identity, ref)
    closed = known is None or known.state == WorkflowState.CLOSED
    return closed and source_for(identity, name) is not None


def fitting(terms: WorkflowNeeded) -> Q:
    """Return the condition for workflows with a kind, source and severity that a policy requires."""
    fits = Q(kind__in=terms.kinds)
    if terms.sources is not None:
        kept = Q(source__name__in=terms.sources)
        fits &= kept | Q(source__isnull=True) if OWN in terms.sources else kept
    return fits & Q(severity__in=terms.severity) if terms.severity is not None else fits


def takes(terms: WorkflowNeeded, workflow: Workflow) -> bool:
    """Whether a policy accepts the workflow: like ``fitting``, but for a workflow that is loaded with its
    source.
    """
    kept = workflow.source.name if workflow.source else OWN
    return (
        workflow.kind in terms.kinds
        and (terms.sources is None or kept in terms.sources)
        and (terms.severity is None or workflow.severity in terms.severity)
    )


def open_workflows(identity: Identity, cluster: Cluster, fits: Q) -> QuerySet[Workflow]:
    """Return the matching open workflows on a cluster that the identity can see, newest first."""
    found = Workflow.objects.visible_to(identity).filter(fits, state=WorkflowState.OPEN, clusters=cluster)
    return found.exclude(source__removed_at__isnull=False).distinct().order_by("-pk")


def why_over(workflow: Workflow, now: dt.datetime) -> str:
    """Return why no access could be granted for a workflow at ``now``, as a sentence without its period;
    empty if it could.
    """
    if workflow.closed_at is not None and workflow.closed_at <= now:
        return f"{workflow.ref} is closed"
    if (
        workflow.source is not None
        and workflow.source.removed_at is not None
        and workflow.source.removed_at <= now
    ):
        return f"the source of {workflow.ref} was removed"
    if workflow.ends_at is not None and workflow.ends_at <= now:
        return f"the planned time of {workflow.ref} has passed"
    return ""


def is_fresh(workflow: Workflow, now: dt.datetime) -> bool:
    """Whether the known state of the workflow is recent enough to start access for it."""
    return workflow.source_id is None or (workflow.read_at is not None and now - workflow.read_at <= FRESH)


def resting_on_sources() -> QuerySet[Workflow]:
    """Return the open workflows of sources on which a grant or a pending request depends."""
    grants = Grant.objects.before_end().filter(workflow__isnull=False).values("workflow_id")
    waiting = AccessRequest.objects.filter(state=RequestState.PENDING, workflow__isnull=False)
    return Workflow.objects.open().filter(
        Q(pk__in=grants) | Q(pk__in=waiting.values("workflow_id")), source__isnull=False
    )


def staleness_of(grant: Grant) -> int:
    """Return the number of seconds for which a grant's workflow can remain unread."""
    document = facts.readable_document(grant.policy)
    return document.workflow.staleness if document and document.workflow else STALENESS
