"""Suspend an active grant: nothing new can run until someone else resumes it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity, answers_for
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.crypto import CannotDecrypt
from broker.kernel.errors import Conflict, NotFound
from broker.kernel.text import checked_text
from sessions_app.connectors.registry import find
from sessions_app.models import Asks, Grant, GrantState
from sessions_app.operations.grants.issue_http_token import takes_tokens
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.targets.cluster_connection import stored_secrets
from sessions_app.queries.grants.suspensions import suspension
from sessions_app.queries.requests.deciders import deciders_in


class NotSuspendable(Conflict):
    """Stint does not check each use of the grant, so it can't suspend it. End the grant instead."""

    code = "not_suspendable"


class NotActive(Conflict):
    """The grant has not started, or is ending, so there is nothing to suspend."""

    code = "not_active"


class AlreadySuspended(Conflict):
    """The grant is already suspended. The message says since when, and why."""

    code = "already_suspended"


def suspend_grant(*, grant_id: int, actor: Identity, note: str = "", now: dt.datetime) -> Grant:
    """Prevent new sessions and commands under a grant, and under grants delegated from it, until it is
    resumed.

    Running commands continue. Raises NotFound for grants that the actor can't end, NotActive,
    AlreadySuspended, NotSuspendable, InvalidInput.
    """
    note = checked_text(note, field="note")
    with transaction.atomic():
        grant = (
            Grant.objects.endable_by(actor)
            .select_for_update(no_key=True, of=("self",))
            .select_related("holder__owner", "cluster", "policy", "command_set_version__command_set")
            .filter(pk=grant_id)
            .first()
        )
        if grant is None:
            raise NotFound("Grant not found, or you can't suspend it.")
        _check(grant, now)
        # A new session or command locks only its own grant.
        lock_descendants(grant_ids=[grant.pk])
        grant.held_at, grant.held_by, grant.held_note = now, actor, note
        grant.save(update_fields=["held_at", "held_by", "held_note"])
        record(
            event=Event.GRANT_HELD,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"note": note},
        )
        _notify(grant, actor, note, now)
    return grant


def is_suspendable(grant: Grant) -> bool:
    """Whether Stint checks each use of the grant, so that it can suspend the grant. Its cluster and command
    set must have been loaded.
    """
    cluster, kind = grant.cluster, find(grant.cluster.kind)
    if takes_tokens(grant) or (kind is not None and kind.runs):
        return True
    # Otherwise only API servers that ask Stint about each request do.
    try:
        secrets = stored_secrets(cluster.sealed_connection, cluster_id=cluster.pk)
    except CannotDecrypt:
        return False
    return bool(cluster.connection.get("direct") and secrets.get("webhook_key"))


def _check(grant: Grant, now: dt.datetime) -> None:
    if grant.state != GrantState.ACTIVE or grant.expires_at <= now:
        raise NotActive(f"{grant.ref} is not active.", hint="Only active grants can be suspended.")
    if grant.held_at is not None:
        raise AlreadySuspended(f"{grant.ref} can't be suspended again: it {suspension(grant)}.")
    if not is_suspendable(grant):
        raise NotSuspendable(
            f"{grant.ref} is used directly on its targets, where Stint can't suspend it.",
            hint="End it instead.",
        )


def _notify(grant: Grant, actor: Identity, note: str, now: dt.datetime) -> None:
    """Notify the holder, and the people who can resume the grant."""
    deciders = [one for one in deciders_in(grant) if one.pk != actor.pk]
    subject = f"{grant.ref} was suspended by {actor}"
    holders = [] if answers_for(actor, grant.holder) else [grant.holder]
    for people, asks, says in (
        (
            holders,
            Asks.NOTHING,
            "Nothing new can run until an approver resumes it. Running commands continue.",
        ),
        (
            deciders,
            Asks.RELEASE,
            f"Nothing new runs under {grant.holder}'s access to {grant.cluster} until it is resumed.",
        ),
    ):
        notify(
            people=people,
            event=Event.GRANT_HELD,
            now=now,
            path=f"/grants/{grant.ref}/",
            asks=asks,
            of=grant,
            subject=subject,
            body=f"{note}\n\n{says}".strip(),
        )
