"""Remove a person's link to the identity provider."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity, ProviderLink
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.errors import Forbidden, NotFound
from sessions_app.operations.identities.change_factors import end_sign_ins, lock_person
from sessions_app.operations.notifications.notify import notify


def unlink_provider(*, identity_id: int, actor: Identity, now: dt.datetime) -> Identity:
    """Remove a person's link to the provider, end all of their sessions, and notify them.

    The next sign-in matches the person by email address again. To prevent that sign-in, disable the person.
    Raises Forbidden (only administrators), NotFound (no link).
    """
    if not actor.is_superuser:
        raise Forbidden("Only administrators can unlink people from the identity provider.")
    with transaction.atomic():
        identity = lock_person(identity_id)
        links = list(ProviderLink.objects.filter(identity=identity).order_by("pk"))
        if not links:
            raise NotFound(f"{identity} is not linked to the identity provider.")
        end_sign_ins(identity)
        for link in links:
            link.delete()
            record_end(
                event=Event.IDENTITY_UNLINKED,
                actor=actor_of(actor),
                object_type="identity",
                object_ref=identity.username,
                now=now,
                data={"issuer": link.issuer, "subject": link.subject, "email": link.email},
            )
        notify(
            people=[identity],
            event=Event.IDENTITY_UNLINKED,
            subject="You were unlinked from the identity provider",
            body=(
                "All of your sessions ended. The next sign-in with the provider matches you by email address."
            ),
            path="/account/",
            now=now,
        )
    return identity
