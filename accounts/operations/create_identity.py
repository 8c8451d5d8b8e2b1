"""Make an identity."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import Identity, Kind
from accounts.names import checked_username
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, InvalidInput


class NameTaken(Conflict):
    """An identity has that name, in this or another spelling."""

    code = "name_taken"


def create_identity(
    *,
    username: str,
    kind: str = Kind.PERSON,
    name: str = "",
    email: str = "",
    owner: Identity | None = None,
    password: str | None = None,
    groups: Iterable[str] = (),
    is_superuser: bool = False,
    time_zone: str = "UTC",
    actor: Actor,
    now: dt.datetime,
) -> Identity:
    """Make an identity, and its groups where they are missing. Raises NameTaken, InvalidInput."""
    username = checked_username(username)
    if Identity.objects.filter(username=username).exists():
        raise NameTaken(f"{username} is taken.", hint="Choose another user name.")
    try:
        with transaction.atomic():
            identity = Identity.objects.create_user(
                username, password, kind=kind, name=name, email=email, owner=owner,
                is_superuser=is_superuser, time_zone=time_zone,
            )  # fmt: skip
            identity.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
            record(
                event=Event.IDENTITY_CREATED, actor=actor, object_type="identity", object_ref=username, now=now,
                data={"kind": kind, "owner": owner.username if owner else None, "groups": sorted(groups),
                      "administrator": is_superuser},
            )  # fmt: skip
    except ValidationError as error:
        raise InvalidInput("The identity is not complete.", fields=error.message_dict) from error
    return identity
