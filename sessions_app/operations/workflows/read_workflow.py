"""Read a workflow from its source, and store its status."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import NotFound
from sessions_app.models import Cluster, EndReason, Grant, Workflow, WorkflowSource, WorkflowState
from sessions_app.models.workflow import LONGEST_REF
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.operations.workflows.close_workflow import SOURCE, close_workflow
from sessions_app.operations.workflows.workflow_sources import SourceUnreadable, adapter_of, kind_of
from sessions_app.queries.workflows.workflows import split_ref, workflow_named
from sessions_app.workflows.base import (
    LONGEST_ID,
    InTrouble,
    NotAnId,
    OddAnswer,
    SourceError,
    Standing,
    Status,
)

__all__ = ["SourceUnreadable", "UnknownWorkflow", "WorkflowUnreadable", "read_workflow"]

# A failed source is not queried again for this long. This also applies to a single workflow, if the source
# fails for that workflow but answers for others. Otherwise, requests that wait for the source would occupy
# every process.
RESPITE = dt.timedelta(seconds=5)
# The minimum interval between two updates of the time of the source's last answer.
NOTED_EVERY = dt.timedelta(seconds=10)


class UnknownWorkflow(NotFound):
    """The workflow is unknown, or its source does not report it as open. Check the reference."""

    code = "unknown_workflow"


class WorkflowUnreadable(SourceUnreadable):
    """The source responds, but does not report the status of this workflow.

    It may report that of other workflows.
    """


def read_workflow(*, ref: str, now: dt.datetime) -> Workflow:
    """Return the workflow with this reference and its current status at its source. Stint's own workflows are
    returned as stored.

    When the source reports the workflow as open, its row is created under the source's own id, or updated.
    When the source reports the workflow as closed, it is closed and all access bound to it ends. Grants that
    no longer match its new facts end. The source is queried outside of a transaction.

    Raises UnknownWorkflow. Raises WorkflowUnreadable if the source does not report the workflow's status, and
    SourceUnreadable if the source does not answer.
    """
    name, outside_id = split_ref(ref)
    known = workflow_named(ref)
    if not name or (known is not None and known.source is None):
        if known is None:
            raise UnknownWorkflow("Workflow not found.")
        return known
    source = known.source if known else WorkflowSource.objects.live().filter(name=name).first()
    if source is None or source.removed_at is not None:
        raise UnknownWorkflow("Workflow not found.", hint="The workflow's source is not configured.")
    outside_id = known.outside_id if known else outside_id
    status = _ask(source, outside_id, now, known)
    if status.standing is Standing.OPEN:
        return _learn(source, _own_id(source, outside_id, status, now, known), status, now, known)
    if status.standing is Standing.CLOSED:
        return _close(source, outside_id, status, now, known)
    _note_silence(source, outside_id, status.reason, now)
    if known is None or known.state == WorkflowState.CLOSED:
        raise UnknownWorkflow(f"{source.name} has no such open workflow.", hint=status.reason)
    raise WorkflowUnreadable(f"{source.name} does not report the status of {known.ref}.", hint=status.reason)


def _own_id(
    source: WorkflowSource, asked: str, status: Status, now: dt.datetime, known: Workflow | None
) -> str:
    """Return the source's own id of an open workflow.

    With another id, there would be a second row, which would stay open after a webhook or a person has closed
    the first. Raises WorkflowUnreadable if the source reports no id, or not the id of the workflow that is
    already open.
    """
    own = status.outside_id
    if own == asked:
        return own
    if known is not None and known.state == WorkflowState.OPEN:
        why = f"The source now reports the id {own}." if own else "The source's response has no id."
        _note_silence(source, asked, why, now)
        raise WorkflowUnreadable(f"{source.name} does not report the status of {known.ref}.", hint=why)
    if not 0 < len(own) <= LONGEST_ID:
        raise WorkflowUnreadable(
            f"{source.name} does not report the id of {asked}.",
            hint="An administrator must configure which key of the response has the id.",
        )
    return own


def _ask(source: WorkflowSource, outside_id: str, now: dt.datetime, known: Workflow | None) -> Status:
    if source.last_error and source.failed_at and now - source.failed_at < RESPITE:
        raise SourceUnreadable(f"{source.name} did not respond.", hint=source.last_error)
    if known is not None and _failed_lately(Workflow.objects.open().filter(pk=known.pk), now):
        raise WorkflowUnreadable(
            f"{source.name} did not report the status of {known.ref}.", hint=known.read_error
        )
    try:
        if len(outside_id) > LONGEST_ID:
            raise NotAnId("The id is too long.")
        status = adapter_of(source).status(outside_id)
    except NotAnId as error:
        raise UnknownWorkflow(
            f"{source.name} has no such workflow.",
            hint=str(error),
            fields={"ref": ["Not found in this source."]},
        ) from error
    except OddAnswer as error:
        # Anyone can request any id, so a failure here must not stop other reads from the
        # source.
        return Status(standing=Standing.UNKNOWN, reason=str(error))
    except SourceError as error:
        raise _failure(source, outside_id, error, now) from error
    _note_answer(source, now)
    return status


def _failure(
    source: WorkflowSource, outside_id: str, error: SourceError, now: dt.datetime
) -> SourceUnreadable:
    """Store that a source failed for a workflow, and return the error to raise.

    Only failures for open workflows indicate that the whole source fails. Anyone can request another id,
    which the source may reject or answer slowly.
    """
    in_trouble = isinstance(error, InTrouble)
    known = _note_silence(source, outside_id, str(error), now, failed=in_trouble)
    if known and (not in_trouble or _fails_for_others(source, outside_id, now)):
        WorkflowSource.objects.filter(pk=source.pk).update(last_error=str(error), failed_at=now)
        return SourceUnreadable(f"{source.name} could not be read.", hint=str(error))
    return WorkflowUnreadable(f"{source.name} does not report the status of {outside_id}.", hint=str(error))


def _failed_lately(workflows: QuerySet[Workflow], now: dt.datetime) -> Workflow | None:
    """Return the last of these workflows for which the source failed within the retry interval."""
    failed = workflows.filter(read_failed=True, asked_at__gt=now - RESPITE)
    return failed.order_by("-asked_at").first()


def _fails_for_others(source: WorkflowSource, outside_id: str, now: dt.datetime) -> bool:
    """Whether the source has recently failed for other workflows, and has not responded since."""
    open_ = Workflow.objects.open().filter(source=source)
    failed = _failed_lately(open_.exclude(outside_id=outside_id), now)
    return failed is not None and not open_.filter(read_at__gt=failed.asked_at).exists()


def _note_answer(source: WorkflowSource, now: dt.datetime) -> None:
    if source.last_error or source.read_at is None or now - source.read_at > NOTED_EVERY:
        WorkflowSource.objects.filter(pk=source.pk).update(read_at=now, last_error="", failed_at=None)


def _note_silence(
    source: WorkflowSource, outside_id: str, why: str, now: dt.datetime, *, failed: bool = False
) -> bool:
    """Store the reason why the source reported no status for a workflow.

    Return whether the workflow is open in Stint.
    """
    open_ = Workflow.objects.open().filter(source=source, outside_id=outside_id)
    return bool(open_.update(asked_at=now, read_error=why, read_failed=failed))


def _close(
    source: WorkflowSource, outside_id: str, status: Status, now: dt.datetime, known: Workflow | None
) -> Workflow:
    for workflow in Workflow.objects.open().filter(source=source, outside_id=outside_id):
        known = close_workflow(
            workflow_id=workflow.pk, actor=None, now=now, note=f"{source.name}: {status.reason}"
        )
    if known is None:
        raise UnknownWorkflow(f"{source.name} reports the workflow as closed.", hint=status.reason)
    return known


def _learn(
    source: WorkflowSource, outside_id: str, status: Status, now: dt.datetime, known: Workflow | None
) -> Workflow:
    try:
        wanted = _wanted(source, status)
    except WorkflowUnreadable as error:
        _note_silence(source, outside_id, error.message, now)
        raise
    clusters = _clusters(source, status)
    with transaction.atomic():
        locked = Workflow.objects.select_for_update(no_key=True, of=("self",))
        workflow = locked.filter(source=source, outside_id=outside_id, state=WorkflowState.OPEN).first()
        if workflow is None:
            _check_not_outrun(source, outside_id, known, now)
            return _make(source, outside_id, status, wanted, clusters, now)
        # Who opened the workflow is stored only once, because the source may let others edit that field
        # later.
        wanted["named_openers"] = workflow.named_openers or wanted["named_openers"]
        changed = [name for name, value in wanted.items() if getattr(workflow, name) != value]
        for name, value in wanted.items():
            setattr(workflow, name, value)
        workflow.asked_at = workflow.read_at = now
        workflow.read_error, workflow.read_failed = "", False
        workflow.save(update_fields=[*wanted, "asked_at", "read_at", "read_error", "read_failed"])
        before = set(workflow.clusters.values_list("pk", flat=True))
        if before != {cluster.pk for cluster in clusters}:
            workflow.clusters.set(clusters)
            changed.append("clusters")
        if changed:
            ended = _end_without_room(workflow, clusters, now)
            record(
                event=Event.WORKFLOW_CHANGED,
                actor=SOURCE,
                object_type="workflow",
                object_ref=workflow.ref,
                now=now,
                data={"changed": changed, "grants_ended": ended, **_people_of(workflow)},
            )
    return workflow


def _check_not_outrun(
    source: WorkflowSource, outside_id: str, known: Workflow | None, now: dt.datetime
) -> None:
    """Reject a response from before a webhook closed the workflow, so that the workflow is not
    reopened.

    Raises WorkflowUnreadable.
    """
    closed = Workflow.objects.filter(source=source, outside_id=outside_id, closed_at__gt=now).exists()
    if closed or (known is not None and known.state == WorkflowState.OPEN):
        raise WorkflowUnreadable(
            f"The workflow was closed while {source.name} was being read.",
            hint="If the workflow was reopened, try again.",
        )


def _wanted(source: WorkflowSource, status: Status) -> dict[str, Any]:
    window = (status.starts_at, status.ends_at)
    if window[0] and window[1] and window[0] >= window[1]:
        raise WorkflowUnreadable(
            f"{source.name} reports an end before its start.", hint="Fix the planned time in the source."
        )
    return {
        "title": status.title or "Untitled",
        "severity": status.severity,
        "url": status.url if status.url.startswith(("https://", "http://")) else "",
        "assigned": list(status.assigned),
        "on_call": list(status.on_call),
        "named_openers": list(status.opened_by),
        "named_changers": None if status.changed_by is None else list(status.changed_by),
        "facts": dict(status.values),
        "starts_at": status.starts_at,
        "ends_at": status.ends_at,
    }


def _clusters(source: WorkflowSource, status: Status) -> list[Cluster]:
    """Return the workflow's clusters: those that the source's document maps its services to, or else the
    source's own clusters.
    """
    services = source.document.get("services", {})
    by_service = [name for service in status.services for name in services.get(service, ())]
    names = by_service or source.document.get("clusters", [])
    return list(Cluster.objects.live().filter(name__in=names).order_by("name"))


def _make(
    source: WorkflowSource,
    outside_id: str,
    status: Status,
    wanted: dict[str, Any],
    clusters: list[Cluster],
    now: dt.datetime,
) -> Workflow:
    ref = _free_ref(source, outside_id)
    try:
        with transaction.atomic():
            workflow = Workflow.objects.create(
                provider=source.provider,
                source=source,
                outside_id=outside_id,
                ref=ref,
                kind=kind_of(source, status.kind),
                opened_at=now,
                asked_at=now,
                read_at=now,
                **wanted,
            )
    except IntegrityError:
        # Another process created the row at the same time.
        return Workflow.objects.get(source=source, outside_id=outside_id, state=WorkflowState.OPEN)
    workflow.clusters.set(clusters)
    record(
        event=Event.WORKFLOW_OPENED,
        actor=SOURCE,
        object_type="workflow",
        object_ref=workflow.ref,
        now=now,
        data={
            "kind": workflow.kind,
            "title": workflow.title,
            "severity": workflow.severity,
            "source": source.name,
            "clusters": [cluster.name for cluster in clusters],
            **_people_of(workflow),
        },
    )
    return workflow


def _people_of(workflow: Workflow) -> dict[str, Any]:
    """Return, for the record, who opened and last changed the workflow according to the source, because
    decisions depend on this.
    """
    return {"opened_by": workflow.named_openers, "changed_by": workflow.named_changers}


def _free_ref(source: WorkflowSource, outside_id: str) -> str:
    """Return `source:id`, or `source:id~2` if an earlier workflow with this id was closed.

    The closed workflow stays closed, and its grants stay ended.
    """
    times = Workflow.objects.filter(source=source, outside_id=outside_id).count()
    ref = f"{source.name}:{outside_id}"
    return (ref if not times else f"{ref}~{times + 1}")[:LONGEST_REF]


def _end_without_room(workflow: Workflow, clusters: list[Cluster], now: dt.datetime) -> list[str]:
    """End grants on clusters that the workflow no longer includes, and grants that extend beyond its
    new planned time.
    """
    kept = {cluster.pk for cluster in clusters}
    live = (
        Grant.objects.before_end()
        .filter(workflow=workflow)
        .order_by("pk")
        .select_for_update(no_key=True, of=("self",))
    )
    lost = {grant: why for grant in live if (why := _why_no_room(grant, workflow, kept, now))}
    # As when closing a workflow, lock all grants before the first entry.
    lock_descendants(grant_ids=[grant.pk for grant in lost])
    for grant, why in lost.items():
        end_grant(
            grant_id=grant.pk,
            actor=None,
            reason=EndReason.WORKFLOW_CLOSED,
            now=now,
            note=f"{workflow.ref}: {why}",
        )
    return [grant.ref for grant in lost]


def _why_no_room(grant: Grant, workflow: Workflow, kept: set[int], now: dt.datetime) -> str:
    if (workflow.ends_at is not None and grant.expires_at > workflow.ends_at) or (
        workflow.starts_at is not None and workflow.starts_at > max(now, grant.starts_at)
    ):
        return "its planned time changed"
    return "" if grant.cluster_id in kept else "its clusters changed"
