"""Change the state of a grant. Only this module and the sweep's SQL function change the state."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import F, Model

from broker.audit.actor import Actor
from broker.audit.backlog import record_end, record_ends
from broker.audit.events import Event
from broker.audit.record import Json, record
from broker.audit.standing import STANDS, check_stands
from broker.kernel.errors import Overtaken
from broker.kernel.postgresql.rows import ask
from sessions_app.models import EndReason, Grant, GrantState

_EVENT = {
    GrantState.PROVISIONING: Event.GRANT_PROVISIONING,
    GrantState.ACTIVE: Event.GRANT_ACTIVE,
    GrantState.REVOKING: Event.GRANT_REVOKING,
    GrantState.ENDED: Event.GRANT_ENDED,
}


_STARTS = (GrantState.PROVISIONING, GrantState.ACTIVE)
_UNLESS_IT_ENDS = f"""
AND state = %s AND id <> ALL(ARRAY(SELECT grant_id FROM sessions_app_endintent)) AND {STANDS} RETURNING id
"""  # noqa: S608  # fixed text


class StaleGrant(Overtaken):
    """The grant changed in the meantime. Nothing was written. Read the grant again."""

    code = "stale_grant"


def transition(
    *,
    grant: Grant,
    to: GrantState,
    actor: Actor,
    now: dt.datetime,
    data: dict[str, Json] | None = None,
    **changes: Any,
) -> Grant:
    """Move a grant to another state if it is still in the state and version that was read, and record the
    transition in the same transaction.

    Raises StaleGrant if another process was faster, and RecordContradicted if a grant would start. The
    database rejects transitions that are not allowed.
    """
    if not _move(grant, to, changes):
        if to in _STARTS:
            check_stands()
        raise StaleGrant(f"{grant.ref} is no longer {grant.state}.", hint="Reload the grant.")
    # An end proceeds even if the record can't accept an entry; a start does not.
    write = record_end if to in (GrantState.REVOKING, GrantState.ENDED) else record
    write(
        event=_EVENT[to],
        actor=actor,
        object_type="grant",
        object_ref=grant.ref,
        now=now,
        data={"from": grant.state, **(data or {})},
    )
    for name, value in {"state": to.value, "version": grant.version + 1, **changes}.items():
        setattr(grant, name, value)
    return grant


def _move(grant: Grant, to: GrantState, changes: Mapping[str, Any]) -> bool:
    """Write the state and the changes, unless the row has changed since it was read."""
    fields = Grant._meta  # noqa: SLF001  # Django's
    columns = [fields.get_field(name).column for name in changes]  # type: ignore[union-attr]  # all have one
    values = [value.pk if isinstance(value, Model) else value for value in changes.values()]
    written = ", ".join(f"{column} = %s" for column in ("state", *columns))
    moved = (
        f"UPDATE sessions_app_grant SET version = version + 1, {written}"  # noqa: S608  # names of columns
        " WHERE id = %s AND version = %s"
    )
    if to in _STARTS:
        # A pending end blocks a start, but not another end.
        return bool(ask(f"{moved} {_UNLESS_IT_ENDS}", to, *values, grant.pk, grant.version, grant.state))
    return bool(ask(f"{moved} RETURNING id", to, *values, grant.pk, grant.version))


def end_together(*, grants: Sequence[Grant], reason: EndReason, note: str, now: dt.datetime) -> None:
    """Begin the end of many grants with one SQL statement, as ``transition`` would for each, so that all end
    at the same time. Running commands are cut.

    The grants must be locked and either PROVISIONING or ACTIVE. Raises StaleGrant if one of them changed.
    """
    moved = Grant.objects.filter(
        pk__in=[grant.pk for grant in grants], revoking_at__isnull=True, ended_at__isnull=True
    ).update(
        state=GrantState.REVOKING,
        version=F("version") + 1,
        revoking_at=now,
        next_attempt_at=now,
        finish_until=None,
        end_reason=reason,
        end_note=note,
        ended_by=None,
    )
    if moved != len(grants):
        raise StaleGrant("A grant changed while it was being ended.", hint="Reload the grants.")
    told: list[tuple[str, Mapping[str, Json]]] = [
        (grant.ref, {"from": grant.state, "reason": reason.value, "note": note, "cut": True})
        for grant in grants
    ]
    record_ends(
        event=Event.GRANT_REVOKING, actor=Actor.system("end"), object_type="grant", entries=told, now=now
    )
