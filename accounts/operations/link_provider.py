"""Link an account at the identity provider to a person."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.mailboxes import canonical
from accounts.models import Identity, Kind, ProviderLink
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Forbidden

_ASK = "Ask a Stint administrator"


class NotLinked(Forbidden):
    """The account at the identity provider belongs to no one in Stint. Ask an administrator to create the
    person.
    """

    code = "not_linked"


def link_provider(*, issuer: str, subject: str, email: str | None, now: dt.datetime) -> Identity:
    """Return the identity that is linked to the provider's ``subject``.

    At the first sign-in, create the link.

    At the first sign-in, the identity is the only enabled person with the address ``email``, which the
    provider must have verified (None: no verified address). If an administrator changed the address, the
    person must have confirmed it. A later change of the address does not change the link.

    No identity is created, and machines are never linked. A disabled person may be returned, but is not
    linked. Raises NotLinked.
    """
    with transaction.atomic():
        linked = _linked(issuer, subject)
        if linked is not None:
            return linked
        person = _person(email)
        if not person.is_active:
            return person
        if person.email_unconfirmed:
            raise NotLinked(
                "An administrator changed your email address, and you have not confirmed it yet.",
                hint="Sign in with your password and confirm the address in your account.",
            )
        held = ProviderLink.objects.filter(issuer=issuer, identity=person).first()
        if held is not None:
            # If two first sign-ins run in parallel, the second one finds the link that the first one created.
            if held.subject == subject:
                return person
            raise NotLinked(
                f"{person} is linked to another account at your identity provider.",
                hint=f"{_ASK} to unlink that account if it is yours.",
            )
        ProviderLink.objects.create(
            identity=person, issuer=issuer, subject=subject, email=person.email, linked_at=now
        )
        record(
            event=Event.IDENTITY_LINKED,
            actor=actor_of(person),
            object_type="identity",
            object_ref=person.username,
            data={"issuer": issuer, "subject": subject, "email": person.email},
            now=now,
        )
    return person


def _linked(issuer: str, subject: str) -> Identity | None:
    link = ProviderLink.objects.filter(issuer=issuer, subject=subject).select_related("identity").first()
    return link.identity if link is not None else None


def _person(email: str | None) -> Identity:
    """Return the only person with the address, locked. Raises NotLinked."""
    if not email:
        raise NotLinked(
            "Your identity provider has not verified your email address.",
            hint=(
                "The provider's ID token must contain `email`, with `email_verified` true. Contact the "
                "provider's administrator."
            ),
        )
    wanted = _as_stored(email)
    found = [
        one
        for one in (
            Identity.objects.filter(kind=Kind.PERSON, email__iexact=wanted)
            .order_by("pk")
            .select_for_update(no_key=True, of=("self",))
        )
        if wanted and _same(one.email, wanted)
    ]
    enabled = [one for one in found if one.is_active]
    if len(enabled) > 1:
        raise NotLinked(
            f"More than one person has the email address {email}.",
            hint=f"{_ASK} to assign the address to one of them.",
        )
    if not found:
        raise NotLinked(f"No person has the email address {email}.", hint=f"{_ASK} to add you.")
    return (enabled or found)[0]


def _as_stored(email: str) -> str:
    """Return an address as it would be stored, or an empty string if storing would change its local part, as
    with the Kelvin sign. Another spelling of a domain is the same domain, but another spelling of a mailbox
    may be another mailbox.
    """
    try:
        found = canonical(email)
    except ValueError:
        return ""
    return found if found.rpartition("@")[0] == email.rpartition("@")[0] else ""


def _same(one: str, other: str) -> bool:
    """Whether two addresses are the same. Characters beyond ASCII must be identical, because the database
    treats some different letters as equal, such as i and ı.
    """
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())
