"""Change the name and the email address of an identity."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q

from accounts.actors import actor_of
from accounts.mailboxes import canonical
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, InvalidInput, NotFound
from broker.kernel.text import checked_text
from sessions_app.operations.identities.disable_identity import OnlyAdministrators
from sessions_app.operations.notifications.notify import notify

LONGEST_NAME, LONGEST_EMAIL = 200, 254
_WORDS = {"name": "name", "email": "mail address"}


class WouldBeOnePerson(Conflict):
    """Another person already has that address, and accounts with the same address count as one person. Use
    another address.
    """

    code = "would_be_one_person"


class WouldBeTwoPeople(Conflict):
    """Without the address, accounts of one person would count as two people, who could approve each other's
    requests. Keep the address.
    """

    code = "would_be_two_people"


def change_identity(
    *,
    identity_id: int,
    name: str,
    email: str,
    one_person: bool = False,
    actor: Identity,
    now: dt.datetime,
) -> Identity:
    """Set the name of an identity and, for a person, the email address.

    The affected people are notified at both the old and the new address.

    Accounts with the same address count as one person, and none of them can decide another's requests. To
    keep a person's accounts together, all accounts with the old address get the new one. Using an address
    that another person already has needs ``one_person``, because joining accounts is irreversible. Raises
    OnlyAdministrators, NotFound, InvalidInput, WouldBeOnePerson, WouldBeTwoPeople, Conflict (changed
    meanwhile).
    """
    if not actor.is_superuser:
        raise OnlyAdministrators("Only administrators can change names and email addresses.")
    name = " ".join(checked_text(name, field="name", longest=LONGEST_NAME).split())
    email = _checked_email(email.strip())
    with transaction.atomic():
        identity, same = _load(identity_id)
        was = identity.email
        changes = {
            key: (before, after)
            for key, before, after in (("name", identity.name, name), ("email", was, email))
            if before != after
        }
        if not changes:
            return identity
        joined: Sequence[Identity] = ()
        if "email" in changes:
            joined = _check_who_they_are(identity, same, email, one_person=one_person)
        else:
            same = []
        identity.name = name
        identity.save(update_fields=["name"])
        for one in (identity, *same) if "email" in changes else ():
            one.email, one.email_unconfirmed = email, bool(email)
            one.save(update_fields=["email", "email_unconfirmed"])
        _say(identity, changes, same, joined, was, actor, now)
    return identity


def _checked_email(email: str) -> str:
    try:
        if email:
            email = canonical(email)
            validate_email(email)
            checked_text(email, field="email", longest=LONGEST_EMAIL)
    except (ValidationError, ValueError) as error:
        raise InvalidInput(
            "This is not an email address.",
            hint="Use the form alice@example.com, or leave the field empty.",
            fields={"email": ["Not an email address."]},
        ) from error
    return email


def _load(identity_id: int) -> tuple[Identity, list[Identity]]:
    """Return the identity and the other accounts with its address, all locked."""
    known = Identity.objects.filter(pk=identity_id).first()
    if known is None:
        raise NotFound("Identity not found.")
    wanted = Q(pk=identity_id) | (Q(email__iexact=known.email) if known.email else Q())
    # Under this lock, other rows, such as notices and grants, can still refer to these rows.
    locked = Identity.objects.select_for_update(no_key=True, of=("self",)).select_related("owner")
    found = {one.pk: one for one in locked.filter(wanted).order_by("pk")}
    identity = found.pop(identity_id)
    if identity.email != known.email:
        raise Conflict("Someone else changed this identity in the meantime.", hint="Reload the page.")
    return identity, list(found.values())


def _check_who_they_are(
    identity: Identity, same: Sequence[Identity], email: str, *, one_person: bool
) -> list[Identity]:
    """Return the accounts that will count as one person with the identity.

    Machines always count as one person with their owner.
    """
    if not identity.is_person:
        raise InvalidInput(
            "Machines have no email address; their owner is notified.",
            hint="Change the owner's address.",
            fields={"email": ["Only people have an email address."]},
        )
    others = [one for one in same if one.owner_id != identity.pk]
    if others and not email:
        raise WouldBeTwoPeople(
            f"{_names(others)} and {identity.username} count as one person because they share this "
            "address. Without the address, they would count as two people.",
            hint="Enter another address, or disable the accounts that are not needed.",
            fields={"email": ["Required."]},
        )
    having = Identity.objects.filter(email__iexact=email) if email else Identity.objects.none()
    joined = list(having.exclude(pk__in=[identity.pk, *(one.pk for one in same)]).exclude(owner=identity))
    if joined and not one_person:
        raise WouldBeOnePerson(
            f"That address is already used by {_names(joined)}. These accounts and {identity.username} would"
            " count as one person, so none of them could decide another's requests.",
            hint="Confirm that all accounts belong to one person (this can't be undone), or enter "
            "another address.",
            fields={"email": ["Already in use."]},
        )
    return joined


def _names(people: Sequence[Identity]) -> str:
    return ", ".join(one.username for one in people)


def _say(
    identity: Identity,
    changes: Mapping[str, tuple[str, str]],
    same: Sequence[Identity],
    joined: Sequence[Identity],
    also_to: str,
    actor: Identity,
    now: dt.datetime,
) -> None:
    """Record the change for each account, and notify them at the new and the previous address."""
    for one in (identity, *same):
        record(
            event=Event.IDENTITY_CHANGED,
            actor=actor_of(actor),
            object_type="identity",
            object_ref=one.username,
            now=now,
            data={
                key: {"before": was, "now": to}
                for key, (was, to) in changes.items()
                if one == identity or key == "email"
            },
        )
    what = " and ".join(_WORDS[key] for key in changes)
    lines = [
        f"{_WORDS[key].capitalize()}: {was or 'none'} → {to or 'none'}" for key, (was, to) in changes.items()
    ]
    if same:
        lines.append(f"Also changed for {_names(same)}, which had the same address.")
    if joined:
        lines.append(
            f"The same address is used by {_names(joined)}, so these accounts now count as one person."
        )
    notify(
        people=[identity, *same],
        event=Event.IDENTITY_CHANGED,
        path="/account/",
        now=now,
        also_to=also_to,
        subject=f"{actor} changed the {what} of {identity.username}",
        body="\n".join([*lines, "If you did not expect this, contact an administrator."]),
    )
