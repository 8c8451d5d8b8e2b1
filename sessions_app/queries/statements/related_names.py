"""Grants and requests with the related rows that name them."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import QuerySet

from sessions_app.models import AccessRequest, Grant

Named = TypeVar("Named", Grant, AccessRequest)
# The large columns of these related rows. A page of fifty would read and parse a megabyte of them.
LARGE = (
    "policy__source", "command_set_version__source", "command_set_version__document", "command_set_version__findings",
    "command_set_version__accepted",
)  # fmt: skip


def with_names(queryset: QuerySet[Named], *, rules: bool = False) -> QuerySet[Named]:
    """Add to grants or requests the related rows that name them. Of their documents, only the policy's and the terms of a
    grant's request are read, with ``rules``.

    ``.defer(None)`` reads everything.
    """
    of_grant = ("holder", "request") if rules else ("holder",)
    own = of_grant if queryset.model is Grant else ("requester", "extends", "workflow")
    named = queryset.select_related(*own, "cluster", "policy", "command_set_version__command_set")
    return named.defer(*LARGE) if rules else named.defer(*LARGE, "policy__document")
