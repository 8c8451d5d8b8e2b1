"""Remove a catalog document."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any, Literal

from accounts.actors import actor_of
from accounts.models import Identity
from broker.kernel.errors import NotFound
from sessions_app.operations.catalog.catalog_plan import Plan, one_change
from sessions_app.operations.catalog.remove_row import live_rows, remove_row
from sessions_app.operations.catalog.save_draft import OnlyAdministratorsSetUp

Kind = Literal["clusters", "command-sets", "policies", "webhooks", "workflow-sources", "trust-policies"]
_TYPE: dict[Kind, str] = {
    "clusters": "cluster",
    "command-sets": "command set",
    "policies": "policy",
    "webhooks": "webhook",
    "workflow-sources": "workflow source",
    "trust-policies": "trust policy",
}
_GRANTS: dict[Kind, str] = {
    "clusters": "cluster__name",
    "command-sets": "command_set_version__command_set__name",
    "policies": "policy__name",
    "workflow-sources": "workflow__source__name",
}


def remove_document(
    *,
    kind: Kind,
    name: str,
    actor: Identity,
    now: dt.datetime,
    told: Collection[str] | None = None,
    plan_only: bool = False,
) -> Plan:
    """Remove a document from the catalog, like `manage.py apply --prune`, and return the plan with the grants
    that end. The document's history is kept.

    ``told`` lists the grants that the caller was shown as ending. ``plan_only`` changes nothing. Only the
    document's administrators may remove it. Raises NotFound, OnlyAdministratorsSetUp, MoreWouldEnd.
    """
    type_ = _TYPE[kind]
    which: dict[str, Any] = {_GRANTS[kind]: name} if kind in _GRANTS else {"pk": None}
    with one_change(actor=actor_of(actor), now=now, plan_only=plan_only, told=told, **which) as plan:
        row = live_rows(type_).filter(name=name).first()
        if row is None:
            raise NotFound(f"{type_.capitalize()} not found.")
        if not live_rows(type_).administered_by(actor).filter(pk=row.pk).exists():
            raise OnlyAdministratorsSetUp(f"Only administrators of the {type_} {name} can remove it.")
        remove_row(type_, row, plan, actor_of(actor), now)
    return plan
