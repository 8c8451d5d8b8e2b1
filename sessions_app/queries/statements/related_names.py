"""Grants and requests with the related rows that provide their names."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import QuerySet

from sessions_app.models import AccessRequest, Grant

Named = TypeVar("Named", Grant, AccessRequest)
# The large columns of these related rows. A page of fifty would otherwise read and parse a megabyte of them.
LARGE = (
    "policy__source",
    "command_set_version__source",
    "command_set_version__document",
    "command_set_version__findings",
    "command_set_version__accepted",
)


# The columns that a grant's bar in a chart shows, or is placed by.
BAR = (
    "ref",
    "state",
    "starts_at",
    "expires_at",
    "revoking_at",
    "finish_seconds",
    "finish_until",
    "ended_at",
    "end_reason",
    "break_glass",
)
WHOSE = ("username", "name", "kind")
_WHERE = ("cluster__name", "command_set_version__number", "command_set_version__command_set__name")


def with_bars(grants: QuerySet[Grant]) -> QuerySet[Grant]:
    """Add the columns that charts show to grants, and read nothing else."""
    named = grants.select_related("holder", "cluster", "command_set_version__command_set")
    return named.only(*BAR, *(f"holder__{name}" for name in WHOSE), *_WHERE)


def with_names(queryset: QuerySet[Named], *, rules: bool = False) -> QuerySet[Named]:
    """Add the related rows that provide names to grants or requests.

    Of their documents, only the policy's and the terms of a grant's request are read, with ``rules``.
    ``.defer(None)`` reads everything.
    """
    of_grant = ("holder", "request") if rules else ("holder",)
    own = of_grant if queryset.model is Grant else ("requester", "extends", "workflow")
    named = queryset.select_related(*own, "cluster", "policy", "command_set_version__command_set")
    return named.defer(*LARGE) if rules else named.defer(*LARGE, "policy__document")
