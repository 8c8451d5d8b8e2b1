"""Disable an identity, and end all its access immediately."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.locks import lock_made_by
from accounts.models import APIToken, Identity, answered_for_by
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from sessions_app.models import AccessRequest, EndReason, Grant, RequestState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.lock_to_end import AT_ONCE, lock_to_end


class OnlyAdministrators(Forbidden):
    """Only administrators can make this change. Ask an administrator."""

    code = "only_administrators"


def disable_identity(*, identity_id: int, actor: Identity, now: dt.datetime) -> Identity:
    """Disable an identity.

    Its sessions and tokens end permanently. Its grants and those of its machines end, and their pending
    requests are withdrawn.

    Raises OnlyAdministrators, NotFound, InvalidInput (the actor's own identity).
    """
    with transaction.atomic():
        identity = _load(identity_id, actor)
        if identity.pk == actor.pk:
            raise InvalidInput("You can't disable yourself.", hint="Ask another administrator.")
        if not identity.is_active:
            return identity
        identity.is_active, identity.disabled_at = False, now
        # Enabling the identity again must not restore a session or token that may have been stolen in the
        # meantime.
        identity.sign_ins_ended += 1
        identity.save(update_fields=["is_active", "disabled_at", "sign_ins_ended"])
        own = list(
            APIToken.objects.filter(identity=identity, revoked_at__isnull=True).values_list("pk", flat=True)
        )
        revoked = {*own, *(one.pk for one in lock_made_by(own))}
        tokens = APIToken.objects.filter(pk__in=revoked).update(revoked_at=now)
        grants = list(Grant.objects.not_ended().filter(answered_for_by(identity, "holder")).order_by("pk"))
        lock_to_end(grant_ids=[grant.pk for grant in grants])
        asked = answered_for_by(identity, "requester")
        requests = list(
            AccessRequest.objects.select_for_update(no_key=True, of=("self",))
            .filter(asked, state=RequestState.PENDING)
            .order_by("pk")
        )
        for grant in grants:
            end_grant(
                grant_id=grant.pk, actor=actor, reason=EndReason.IDENTITY_DISABLED, now=now, patience=AT_ONCE
            )
        for request in requests:
            _withdraw(request, identity, actor, now)
        record_end(
            event=Event.IDENTITY_DISABLED,
            actor=actor_of(actor),
            object_type="identity",
            now=now,
            object_ref=identity.username,
            data={"grants_ended": len(grants), "requests_withdrawn": len(requests), "tokens_revoked": tokens},
        )
    return identity


def _withdraw(request: AccessRequest, identity: Identity, actor: Identity, now: dt.datetime) -> None:
    request.state, request.decided_at = RequestState.WITHDRAWN, now
    request.save(update_fields=["state", "decided_at"])
    record_end(
        event=Event.REQUEST_WITHDRAWN,
        actor=actor_of(actor),
        object_type="request",
        object_ref=request.ref,
        now=now,
        data={"disabled": identity.username},
    )


def enable_identity(*, identity_id: int, actor: Identity, now: dt.datetime) -> Identity:
    """Enable an identity again.

    Access, sessions and tokens that have ended are not restored. Raises OnlyAdministrators, NotFound.
    """
    with transaction.atomic():
        identity = _load(identity_id, actor)
        if not identity.is_active:
            identity.is_active, identity.disabled_at = True, None
            identity.save(update_fields=["is_active", "disabled_at"])
            record(
                event=Event.IDENTITY_ENABLED,
                actor=actor_of(actor),
                object_type="identity",
                now=now,
                object_ref=identity.username,
                data={},
            )
    return identity


def _load(identity_id: int, actor: Identity) -> Identity:
    if not actor.is_superuser:
        raise OnlyAdministrators("Only administrators can disable and enable identities.")
    # Under this lock, other rows, such as notices and grants, can still refer to the identity.
    identity = Identity.objects.select_for_update(no_key=True, of=("self",)).filter(pk=identity_id).first()
    if identity is None:
        raise NotFound("Identity not found.")
    return identity
