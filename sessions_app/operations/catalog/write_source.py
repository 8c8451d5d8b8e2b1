"""Update a workflow source to match its document."""

from __future__ import annotations

import datetime as dt

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import (
    WorkflowSource,
)
from sessions_app.operations.catalog.catalog_plan import Plan, note
from sessions_app.operations.workflows.workflow_sources import (
    read_secrets,
    readable_secrets,
    sealed,
    shown_document,
)
from sessions_app.policy.catalog import (
    SourceDocument,
)
from sessions_app.policy.digests import digest_of


def write_source(
    document: SourceDocument, plan: Plan, actor: Actor, now: dt.datetime, *, on_server: bool = False
) -> None:
    """Update a workflow source to match the document. Raises DocumentError."""
    source = WorkflowSource.objects.filter(name=document.name).first()
    live = source is not None and source.removed_at is None
    before = shown_document(source) if source and live else None
    seen, secrets = read_secrets(document, source if live else None, on_server=on_server)
    stored = readable_secrets(source) if source and live else None
    if source is None:
        source = WorkflowSource(name=document.name, created_at=now)
    elif live and (seen, secrets) == (source.document, stored):
        return
    source.provider, source.summary, source.document = document.provider, document.summary, seen
    if secrets != stored:
        source.sealed = sealed(secrets, source)
    source.changed_at, source.removed_at, source.last_error = now, None, ""
    source.save()
    after = shown_document(source)
    note(plan, "change" if before else "create", "workflow source", document.name, before, after)
    record(
        event=Event.SOURCE_CHANGED if before else Event.SOURCE_CREATED,
        actor=actor,
        object_type="workflow_source",
        object_ref=document.name,
        now=now,
        data={"provider": document.provider, "digest": digest_of(seen)},
    )
