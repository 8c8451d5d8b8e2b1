"""Take the link to the identity provider from a person."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity, ProviderLink
from accounts.sessions import end_sessions_of
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.errors import Forbidden, NotFound


def unlink_provider(*, identity_id: int, actor: Identity, now: dt.datetime) -> Identity:
    """Forget whom of the provider a person is, and end all of their sessions. At their next sign-in they are found by
    their address again; who must stay out is disabled.

    Raises Forbidden (only administrators), NotFound (no link).
    """
    if not actor.is_superuser:
        raise Forbidden("Only administrators unlink people.")
    with transaction.atomic():
        identity = (
            Identity.objects.select_for_update(no_key=True, of=("self",)).filter(pk=identity_id).first()
        )
        links = list(ProviderLink.objects.filter(identity=identity).order_by("pk"))
        if identity is None or not links:
            raise NotFound("There is no such link.")
        ProviderLink.objects.filter(pk__in=[link.pk for link in links]).delete()
        ended = end_sessions_of(identity, now)
        for link in links:
            record_end(
                event=Event.IDENTITY_UNLINKED, actor=actor_of(actor), object_type="identity",
                object_ref=identity.username, now=now,
                data={"issuer": link.issuer, "subject": link.subject, "email": link.email, "sessions_ended": ended},
            )  # fmt: skip
    return identity
