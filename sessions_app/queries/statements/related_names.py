"""Grants and requests with the related rows that provide their names."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TypeVar, cast

from django.db.models import Model, QuerySet

from accounts.models import Identity
from broker.kernel.postgresql.rows import Rows, keep
from sessions_app.models import AccessRequest, Approval, Grant

Named = TypeVar("Named", Grant, AccessRequest)
# The large columns of command sets. Without deferring them, a page of fifty rows would read and parse a
# megabyte.
LARGE = (
    "command_set_version__source",
    "command_set_version__document",
    "command_set_version__findings",
    "command_set_version__accepted",
)
# The columns of related rows that lists and cards show. Composing, planning and reading all columns would
# take a third of the time of a page.
_WHO = ("username", "name", "kind", "owner", "person", "is_active")
_SHOWN: dict[str, tuple[str, ...]] = {
    "holder": _WHO,
    "requester": _WHO,
    "cluster": ("name", "kind", "environment", "risk", "connection", "removed_at"),
    "policy": ("name", "version", "document", "removed_at"),
    "command_set_version": ("command_set", "number", "digest"),
    "command_set_version__command_set": ("name", "kind", "removed_at"),
    "extends": ("ref", "expires_at", "break_glass", "request"),
}


# The columns that a grant's bar in a chart shows, or that determine its position.
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
# The columns that identify the grant of another row.
OF_GRANT = (
    "grant__ref",
    *(f"grant__holder__{name}" for name in WHOSE),
    "grant__cluster__name",
    "grant__cluster__kind",
)
_WHERE = ("cluster__name", "command_set_version__number", "command_set_version__command_set__name")


def with_bars(grants: QuerySet[Grant]) -> QuerySet[Grant]:
    """Load the columns of grants that charts show, and no others."""
    named = grants.select_related("holder", "cluster", "command_set_version__command_set")
    return named.only(*BAR, *(f"holder__{name}" for name in WHOSE), *_WHERE)


def with_names(queryset: QuerySet[Named], *, rules: bool = False) -> QuerySet[Named]:
    """Add the related rows that provide names to grants or requests, with the columns that lists show.

    With ``rules``, their policies with their documents are also read, and the terms of a grant's request.
    ``.defer(None)`` reads all columns.
    """
    own: tuple[str, ...] = ("holder",) if queryset.model is Grant else ("requester", "extends", "workflow")
    if rules:
        own += ("policy", "request") if queryset.model is Grant else ("policy",)
    named = queryset.select_related(*own, "cluster", "command_set_version__command_set")
    return named.defer(*_not_shown(queryset.model, rules))


@functools.cache
def unnamed(*paths: str) -> tuple[str, ...]:
    """Return the columns of the identities at these paths that pages don't show, to defer them."""
    fields = Identity._meta.concrete_fields  # noqa: SLF001  # Django's public API
    hidden = [one.name for one in fields if one.name not in _WHO and not one.primary_key]
    return tuple(f"{path}__{name}" for path in paths for name in hidden)


_APPROVALS = Rows(
    Approval,
    "approver",
    without=unnamed("approver"),
    tail="WHERE sessions_app_approval.request_id = ANY(%s) ORDER BY sessions_app_approval.id",
)


def with_approvals(requests: Iterable[AccessRequest]) -> None:
    """Read the verdicts on requests, with the names of their approvers, as prefetching them would."""
    given: dict[int, list[Approval]] = {}
    requests = list(requests)
    for one in _APPROVALS([request.pk for request in requests]) if requests else ():
        given.setdefault(one.request_id, []).append(one)
    for request in requests:
        keep(request.approvals, given.get(request.pk, ()))


@functools.cache
def _not_shown(model: type[Grant | AccessRequest], rules: bool) -> tuple[str, ...]:
    """Return the names of the related columns that lists don't show."""
    without: tuple[str, ...] = ("requester", "extends") if model is Grant else ("holder",)
    without += () if rules else ("policy",)
    shown = {path: names for path, names in _SHOWN.items() if path not in without}
    return tuple(
        f"{path}__{field.name}"
        for path, names in shown.items()
        for field in _model_at(model, path)._meta.concrete_fields  # noqa: SLF001  # Django's public API
        if field.name not in names and not field.primary_key
    )


def _model_at(model: type[Model], path: str) -> type[Model]:
    for name in path.split("__"):
        field = model._meta.get_field(name)  # noqa: SLF001  # Django's public API
        model = cast(type[Model], field.related_model)
    return model
