"""Data for the workflow source pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import yaml
from django.db.models import Count, Q, QuerySet
from django.urls import reverse

from accounts.models import Identity
from sessions_app.models import DeliveryState, InboundDelivery, WorkflowSource, WorkflowState
from sessions_app.operations.workflows.workflow_sources import shown_document
from sessions_app.web.display.states import Linked, Look, plural
from sessions_app.web.layout.pagination import Page, page_of
from sessions_app.workflows.registry import types

START = """\
name: pagerduty
provider: pagerduty
summary: Incidents of the web team
parameters:
  token: a read-only API key
webhook_secrets:
  - the secret of the webhook subscription
services:
  PIJ90N7: [web]
"""

# The maximum number of ids shown for a delivery.
IDS = 3
# A delivery that is pending for longer is waiting for its source, so the page no longer refreshes because of
# it.
SOON = dt.timedelta(minutes=1)


def source_look(source: WorkflowSource) -> Look:
    """Return the display style of a source's availability: a tone, an icon and a word."""
    if source.last_error:
        return Look("bad", "alert", "Not responding")
    return Look("ok", "check", "Responding") if source.read_at else Look("mute", "clock", "Not contacted yet")


def delivery_look(delivery: InboundDelivery) -> Look:
    """Return the display style of a delivery's state."""
    if delivery.state == DeliveryState.HANDLED:
        return Look("ok", "check", f"Closed {delivery.closed}" if delivery.closed else "Processed")
    if delivery.state == DeliveryState.IGNORED:
        return Look("mute", "x", "Ignored")
    return Look("warn", "clock", "Pending")


def sources(reader: Identity) -> QuerySet[WorkflowSource]:
    """Return the sources that the reader administers, sorted by name, each with the number of its open
    workflows.
    """
    mine = WorkflowSource.objects.live().administered_by(reader).order_by("name")
    return mine.annotate(open_workflows=Count("workflows", filter=Q(workflows__state=WorkflowState.OPEN)))


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery in the list. ``ids`` has the first few of its ids."""

    delivery: InboundDelivery
    look: Look
    ids: str


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One source with its deliveries. ``moving`` means that this is the newest page, and a delivery on
    it will be handled soon.
    """

    source: WorkflowSource
    look: Look
    provider: str
    clusters: Sequence[Linked]
    secrets: str
    page: Page[InboundDelivery]
    rows: Sequence[DeliveryRow]
    moving: bool

    @property
    def footer(self) -> str:
        """A note on what deliveries can do, and how many were refused."""
        says = "A delivery can only end access. Unverified deliveries have no effect and are recorded"
        more = self.source.refused
        return f"{says}; {more:,} more since the last entry." if more else f"{says}."


def source_page(source: WorkflowSource, *, before: str, now: dt.datetime) -> SourcePage:
    """Return a source and its newest deliveries."""
    page = page_of(source.deliveries.all(), key="pk", before=before)
    shown = shown_document(source)
    by_service = [name for names in shown.get("services", {}).values() for name in names]
    found = types().get(source.provider)
    return SourcePage(
        source=source,
        look=source_look(source),
        provider=found.title if found else source.provider,
        clusters=[
            Linked(name, reverse("cluster", args=[name]))
            for name in sorted({*shown.get("clusters", []), *by_service})
        ],
        secrets=plural(len(shown.get("webhook_secrets", [])), "secret is,secrets are"),
        page=page,
        rows=[
            DeliveryRow(one, delivery_look(one), " ".join(str(hint["id"]) for hint in one.hints[:IDS]))
            for one in page.rows
        ],
        moving=not page.newer
        and any(one.state == DeliveryState.RECEIVED and one.received_at > now - SOON for one in page.rows),
    )


def text_of(source: WorkflowSource) -> str:
    """Return a source as the text of its catalog file, with secrets as ``(stored)``."""
    return yaml.safe_dump(shown_document(source), sort_keys=False, allow_unicode=True, width=200)
