"""Read all workflows of a source on which access depends, so that their end is noticed even without a
webhook.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import structlog
from django.db import DataError
from django.db.models import Q

from sessions_app.models import Grant, GrantState, Workflow, WorkflowSource
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.workflows.read_workflow import (
    SourceUnreadable,
    UnknownWorkflow,
    WorkflowUnreadable,
    read_workflow,
)
from sessions_app.queries.workflows.workflows import resting_on_sources

log = structlog.get_logger(__name__)

# The minimum interval between two reads of one workflow.
EVERY = dt.timedelta(seconds=30)
# Only one process at a time reads from a source, for at most this long. The rest is read in the next run.
AT_ONCE = dt.timedelta(seconds=25)
STARTING = [GrantState.SCHEDULED, GrantState.PROVISIONING]


def sources_to_ask() -> list[int]:
    """Return the ids of sources with open workflows that access depends on, or will depend on."""
    return sorted(resting_on_sources().values_list("source_id", flat=True).distinct())


def poll_source(*, source_id: int, now: Callable[[], dt.datetime]) -> int:
    """Read each due workflow in turn, and return how many were read.

    After two failures, the source is skipped until the next run. If another process is already reading from
    the source, do nothing.
    """
    if not _claim(source_id, now()):
        return 0
    try:
        return _poll(WorkflowSource.objects.get(pk=source_id), now)
    finally:
        WorkflowSource.objects.filter(pk=source_id).update(asking_until=None)


def _claim(source_id: int, now: dt.datetime) -> bool:
    free = Q(asking_until__isnull=True) | Q(asking_until__lte=now)
    live = WorkflowSource.objects.live().filter(free, pk=source_id)
    return live.update(asking_until=now + AT_ONCE + dt.timedelta(seconds=15)) == 1


def _poll(source: WorkflowSource, now: Callable[[], dt.datetime]) -> int:
    began, asked, failed = now(), 0, 0
    due = resting_on_sources().filter(source=source).order_by("asked_at", "pk")
    # Load each row separately, so that a row that can't be loaded does not prevent the others from being
    # read.
    for pk, ref, asked_at in list(due.values_list("pk", "ref", "asked_at")):
        moment = now()
        if failed > 1 or moment - began > AT_ONCE:
            break
        if asked_at is None or moment - asked_at >= EVERY:
            asked += 1
            why = _read(pk, ref, moment)
            failed += why is not None and not isinstance(why, WorkflowUnreadable)
    return asked


def reread_workflow(*, workflow_id: int, now: Callable[[], dt.datetime]) -> None:
    """Read one workflow now, and start the grants that were waiting for it."""
    ref = Workflow.objects.open().filter(pk=workflow_id).values_list("ref", flat=True).first()
    if ref is None or _read(workflow_id, ref, now()) is not None:
        return
    due = Grant.objects.filter(workflow_id=workflow_id, state__in=STARTING, starts_at__lte=now())
    for pk in due.order_by("pk").values_list("pk", flat=True)[:1000]:
        provision_grant(grant_id=pk, now=now())


def _read(pk: int, ref: str, now: dt.datetime) -> SourceUnreadable | None:
    """Return why the workflow could not be read, and store the reason; None if the source reported the
    status.
    """
    try:
        read_workflow(ref=ref, now=now)
    except UnknownWorkflow:
        return None
    except SourceUnreadable as error:
        log.info("work.unread", ref=ref, error=str(error))
        return error
    except DataError as error:
        # This workflow is read in turn, like other unread workflows.
        log.exception("work.unloadable", ref=ref)
        Workflow.objects.filter(pk=pk).update(
            asked_at=now, read_error=f"{type(error).__name__}: {error}", read_failed=False
        )
        return WorkflowUnreadable(f"{ref} can't be loaded.")
    return None
