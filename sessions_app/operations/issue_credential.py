"""Give a holder what a grant is used with on a target: shown once, kept nowhere."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput, NotFound, StintError
from sessions_app.connectors.base import ConnectorError, Credential, Issuer
from sessions_app.connectors.registry import type_of
from sessions_app.models import Grant, GrantState, Lease
from sessions_app.operations.apply_extension import GrantIsOver
from sessions_app.operations.connect import connector_for, lease_of, spec_of


class TargetDidNotAnswer(StintError):
    """The target could not be asked for a credential, or refused."""

    code = "target_did_not_answer"
    status = 503


def issue_credential(*, grant_id: int, actor: Identity, target: str | None, now: dt.datetime) -> Credential:
    """Return a fresh credential for one target of an own grant in use; the one before stops being good for new logins.

    ``target`` None is the only one. The record says so before the target is asked. Raises NotFound (not one's own),
    GrantIsOver, InvalidInput and TargetDidNotAnswer.
    """
    grant, lease = _lease(grant_id, actor, target, now)
    with transaction.atomic():
        record(
            event=Event.CREDENTIAL_ISSUED, actor=actor_of(actor), object_type="grant", object_ref=grant.ref, now=now,
            data={"target": lease.target.name, "until": grant.expires_at.isoformat()},
        )  # fmt: skip
    try:
        connector = connector_for(grant.cluster.kind)
        if not isinstance(connector, Issuer):
            raise InvalidInput(f"Access to {grant.cluster} needs no credential.")
        return connector.issue(spec_of(lease, grant), lease_of(lease, grant))
    except ConnectorError as error:
        raise TargetDidNotAnswer(error.message, hint="Try again; if it goes on, tell who runs it.") from error


def _lease(grant_id: int, actor: Identity, target: str | None, now: dt.datetime) -> tuple[Grant, Lease]:
    grant = (
        Grant.objects.select_related("cluster", "holder", "command_set_version")
        .filter(pk=grant_id, holder=actor, holder__is_active=True)
        .first()
    )
    if grant is None:
        raise NotFound("There is no such grant of yours.")
    if grant.state != GrantState.ACTIVE or grant.expires_at <= now:
        raise GrantIsOver(f"{grant.ref} is not in use now.", hint="Ask for a new one.")
    if not type_of(grant.cluster.kind).issues:
        raise InvalidInput(f"Access to {grant.cluster} needs no credential.")
    made = grant.leases.filter(gone_at__isnull=True, made_until__isnull=False).select_related("target")
    leases = [lease for lease in made if target in (None, lease.target.name)]
    if len(leases) != 1:
        names = ", ".join(sorted(lease.target.name for lease in made))
        raise InvalidInput(
            f"{grant.ref} has no such target." if target else f"{grant.ref} has several targets.",
            hint=f"Choose one of {names}.", fields={"target": ["Choose one that is listed."]},
        )  # fmt: skip
    return grant, leases[0]
