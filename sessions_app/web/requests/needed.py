"""The items that the requester must still fill in before submitting, each with its field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sessions_app.web.requests.asking_page import AskPage


class Needed(NamedTuple):
    """A missing item: its label, and the id of its field."""

    label: str
    field: str


def needed(ask: AskPage) -> list[Needed]:
    """Return all missing items, in field order. If nothing can be requested, nothing is missing."""
    return [*_where(ask), *_what(ask), *_why(ask)] if ask.clusters else []


def _where(ask: AskPage) -> Iterator[Needed]:
    if not ask.draft.cluster:
        yield Needed("A cluster", "find-cluster" if ask.where.has_search else "cluster-1")
    if ask.chooses_workflow and ask.workflow_needed and not ask.draft.workflow:
        yield Needed("A related change, incident or ticket", "workflow")


def _what(ask: AskPage) -> Iterator[Needed]:
    for field in ask.parameters:
        if not field.value:
            yield Needed(field.name, "workflow" if field.from_workflow else f"p-{field.name}")
    if ask.chooses_targets and ask.draft.targets == ():
        yield Needed("At least one target", "target-1")
    if ask.sets and not ask.draft.seconds:
        yield Needed("A duration, like 45m or 1.5h", "other_duration")


def _why(ask: AskPage) -> Iterator[Needed]:
    if ask.ticket_required and not ask.draft.ticket.strip():
        yield Needed("A ticket", "ticket")
    if ask.reason_required and not ask.draft.reason.strip():
        yield Needed("A reason", "reason")
