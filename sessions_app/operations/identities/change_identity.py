"""Change what somebody is called, and the mail address that they are told at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q

from accounts.actors import actor_of
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
    """Somebody else has that address already, and accounts with one address are one person."""

    code = "would_be_one_person"


class WouldBeTwoPeople(Conflict):
    """Without the address, accounts that are one person would be two, and decide what each other asks for."""

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
    """Set the name of an identity and, of a person, the mail address; who they are is told at the old one and the new one.

    Accounts with the same address are one person, none of which decides what another asks. So that nobody becomes two
    people, all accounts that have the old address get the new one; and one that somebody else has already needs
    ``one_person``, for it can't be taken back. Raises OnlyAdministrators, NotFound, InvalidInput, WouldBeOnePerson,
    WouldBeTwoPeople.
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
            validate_email(email)
            checked_text(email, field="email", longest=LONGEST_EMAIL)
    except ValidationError as error:
        raise InvalidInput(
            "This is not an email address.",
            hint="Use the form alice@example.com, or leave it empty.",
            fields={"email": ["Not an email address."]},
        ) from error
    return email


def _load(identity_id: int) -> tuple[Identity, list[Identity]]:
    """Return the identity, and the other accounts that have its address, all locked."""
    known = Identity.objects.filter(pk=identity_id).first()
    if known is None:
        raise NotFound("Identity not found.")
    wanted = Q(pk=identity_id) | (Q(email__iexact=known.email) if known.email else Q())
    # A lock that lets others go on naming them, in notices and grants.
    locked = Identity.objects.select_for_update(no_key=True, of=("self",)).select_related("owner")
    found = {one.pk: one for one in locked.filter(wanted).order_by("pk")}
    identity = found.pop(identity_id)
    if identity.email != known.email:
        raise Conflict("Someone else changed it in the meantime.", hint="Reload the page.")
    return identity, list(found.values())


def _check_who_they_are(
    identity: Identity, same: Sequence[Identity], email: str, *, one_person: bool
) -> list[Identity]:
    """Return who becomes one person with the identity. Machines are one with their owner in any case."""
    if not identity.is_person:
        raise InvalidInput(
            "Machines have no email address; their owner is notified.",
            hint="Change the owner's address.",
            fields={"email": ["Only people have one."]},
        )
    others = [one for one in same if one.owner_id != identity.pk]
    if others and not email:
        raise WouldBeTwoPeople(
            f"{_names(others)} and {identity.username} are one person by that address, and would be two without it.",
            hint="Give them another address, or disable the accounts that are not needed.",
            fields={"email": ["Needed."]},
        )
    having = Identity.objects.filter(email__iexact=email) if email else Identity.objects.none()
    joined = list(having.exclude(pk__in=[identity.pk, *(one.pk for one in same)]).exclude(owner=identity))
    if joined and not one_person:
        raise WouldBeOnePerson(
            f"{_names(joined)} has that address: with {identity.username} it would be one person, and none of them could "
            "decide what another asks.",
            hint="Say that they are one person, which can't be taken back, or give another address.",
            fields={"email": ["Somebody has it already."]},
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
    """Record it for each account, and tell who they are, at the new address and at the one before."""
    for one in (identity, *same):
        record(
            event=Event.IDENTITY_CHANGED, actor=actor_of(actor), object_type="identity", object_ref=one.username,
            now=now,
            data={key: {"before": was, "now": to} for key, (was, to) in changes.items()
                  if one == identity or key == "email"},
        )  # fmt: skip
    what = " and ".join(_WORDS[key] for key in changes)
    lines = [
        f"{_WORDS[key].capitalize()}: {was or 'none'} → {to or 'none'}" for key, (was, to) in changes.items()
    ]
    if same:
        lines.append(f"So was that of {_names(same)}, which had the same address.")
    if joined:
        lines.append(f"{_names(joined)} has that address too: you count as one person from now on.")
    notify(
        people=[identity, *same], event=Event.IDENTITY_CHANGED, path="/account/", now=now, also_to=also_to,
        subject=f"{actor} changed the {what} of {identity.username}",
        body="\n".join([*lines, "If you did not expect this, ask an administrator."]),
    )  # fmt: skip
