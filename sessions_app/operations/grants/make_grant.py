"""Create the grant for an approved request."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping

from django.db import IntegrityError, transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.audit.standing import check_stands
from broker.kernel.enqueue import enqueue
from broker.kernel.postgresql.rows import ask
from broker.kernel.postgresql.writes import insert
from sessions_app.models import AccessRequest, Grant, RequestKind
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.scope import Extent
from sessions_app.policy.starts import begins_at, ends_at
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.grants.delegations import chain_of
from sessions_app.queries.grants.revocation import installation_mark

# Omits letters and digits that are easily confused when read aloud.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_TRIES = 20
_ADD_TARGETS = """
WITH added AS (INSERT INTO sessions_app_grant_targets (grant_id, target_id) SELECT %s, unnest(%s::bigint[])
               RETURNING target_id)
SELECT name FROM sessions_app_target JOIN added ON target_id = id
"""


def make_grant(
    *,
    request: AccessRequest,
    extent: Extent,
    document: PolicyDocument,
    review_within: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> Grant:
    """Create a SCHEDULED grant for the scope that approvers left of the request. Call this in the transaction
    of the approval.

    ``document`` is the policy's document, with terms no wider than those of the request. ``review_within`` is
    the number of seconds within which another person must review the access; None for no review.

    Waiting for approval does not use up the granted time. The grant begins at the requested start or now,
    whichever is later, but not before its workflow's planned start. It ends no later than its workflow's
    planned end. Raises RecordContradicted.
    """
    check_stands()
    starts_at, expires_at = _span(request, extent, now)
    version = request.command_set_version
    finish = [
        command.rule.finish_seconds or 0
        for command in commands.compiled(version, request.parameters, extent.commands).commands
    ]
    grant = _insert(
        request=request,
        holder=request.requester,
        cluster=request.cluster,
        policy=request.policy,
        command_set_version=version,
        workflow=request.workflow,
        parent=request.parent,
        heartbeat_seconds=document.heartbeat,
        parameters=request.parameters,
        commands=sorted(extent.commands),
        mark=installation_mark() + secrets.token_hex(12),
        break_glass=request.kind == RequestKind.BREAK_GLASS,
        starts_at=starts_at,
        expires_at=expires_at,
        finish_seconds=max(finish, default=0),
        created_at=now,
        review_due_at=None if review_within is None else now + dt.timedelta(seconds=review_within),
    )
    names = sorted(name for (name,) in ask(_ADD_TARGETS, grant.pk, sorted(extent.targets)))
    _record(grant, request, names, actor)
    enqueue("grants.provision", grant_id=grant.pk)
    return grant


def _span(request: AccessRequest, extent: Extent, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    workflow = request.workflow
    starts_at = begins_at(now, asked=request.starts_at, workflow=workflow.starts_at if workflow else None)
    return starts_at, ends_at(starts_at, extent.duration, workflow=workflow.ends_at if workflow else None)


def _record(grant: Grant, request: AccessRequest, targets: list[str], actor: Actor) -> None:
    record(
        event=Event.GRANT_SCHEDULED,
        actor=actor,
        object_type="grant",
        object_ref=grant.ref,
        now=grant.created_at,
        data={
            "request": request.ref,
            "holder": request.requester.username,
            "cluster": request.cluster.name,
            "command_set": str(grant.command_set_version),
            "commands": grant.commands,
            "parameters": as_words(request.parameters),
            "targets": targets,
            "starts_at": grant.starts_at.isoformat(),
            "expires_at": grant.expires_at.isoformat(),
            **({"chain": [one.ref for one in chain_of(grant)]} if request.parent_id else {}),
            **workflow_fact(request),
        },
    )


def as_words(parameters: Mapping[str, str]) -> list[str]:
    """Return parameters in the form in which the record stores them: as a list of values, because a parameter
    could be named `token`.
    """
    return [f"{name}={value}" for name, value in sorted(parameters.items())]


def workflow_fact(request: AccessRequest) -> dict[str, str]:
    """Return the request's workflow in the form in which the record stores it; empty if the request names
    none.
    """
    return {"workflow": request.workflow.ref} if request.workflow else {}


def _insert(**fields: object) -> Grant:
    """Insert a grant under a new reference.

    Short references are tried first, because people read references aloud.
    """
    for attempt in range(_TRIES):
        length = 4 if attempt < _TRIES // 2 else 8
        ref = "GR-" + "".join(secrets.choice(_ALPHABET) for _ in range(length))
        if _taken(ref):
            continue
        try:
            with transaction.atomic():
                return insert(Grant(ref=ref, **fields))
        except IntegrityError:
            if not Grant.objects.filter(ref=ref).exists():
                raise
    raise IntegrityError("could not find an unused grant reference")


_TAKEN = """
SELECT ref FROM sessions_app_grant WHERE ref = %s
 UNION ALL SELECT ref FROM sessions_app_purgedgrant WHERE ref = %s
"""


def _taken(ref: str) -> bool:
    """Whether a grant has or had this reference."""
    return bool(ask(_TAKEN, ref, ref))
