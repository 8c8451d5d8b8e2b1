"""Create an identity."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import Identity, Kind
from accounts.names import checked_username
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, InvalidInput
from broker.kernel.zones import time_zones


class NameTaken(Conflict):
    """Another identity has this name, possibly in another spelling. Choose another name."""

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
    """Create an identity, and its groups if they are missing. A person needs an email address, which
    identifies them across accounts. The owner of a machine is a person, never a machine.

    Raises NameTaken, InvalidInput.
    """
    username, groups = checked_username(username), sorted(set(groups))
    _check(username, kind, email, owner, time_zone)
    try:
        with transaction.atomic():
            identity = Identity.objects.create_user(
                username,
                password,
                kind=kind,
                name=name,
                email=email,
                owner=owner,
                is_superuser=is_superuser,
                time_zone=time_zone,
                # The actor knows the password, so the new person must replace it first. An actor with a shell
                # on the server may be creating their own account.
                password_given=password is not None and actor.id is not None,
            )
            identity.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
            record(
                event=Event.IDENTITY_CREATED,
                actor=actor,
                object_type="identity",
                object_ref=username,
                now=now,
                data={
                    "kind": kind,
                    "owner": owner.username if owner else None,
                    "groups": groups,
                    "administrator": is_superuser,
                },
            )
    except ValidationError as error:
        # The name is valid, so the only possible problem is a duplicate that was just created.
        if "username" in error.message_dict:
            raise _taken(username) from error
        raise InvalidInput(
            "Some required fields are missing or invalid.", fields=error.message_dict
        ) from error
    except IntegrityError as error:
        raise _taken(username) from error
    return identity


def _taken(username: str) -> NameTaken:
    return NameTaken(
        f"{username} is taken.", hint="Choose another username.", fields={"username": ["Taken."]}
    )


def _check(username: str, kind: str, email: str, owner: Identity | None, time_zone: str) -> None:
    if Identity.objects.filter(username=username).exists():
        raise _taken(username)
    if kind == Kind.PERSON and not email.strip():
        raise InvalidInput(
            "A person needs an email address. Accounts with the same address count as one person.",
            fields={"email": ["Enter an email address."]},
        )
    if problems := _problems(owner, time_zone):
        raise InvalidInput("Some required fields are missing or invalid.", fields=problems)


def _problems(owner: Identity | None, time_zone: str) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = {}
    # If a machine could own a machine, the person who owns the first machine could approve requests of
    # the second, which are effectively that person's own.
    if owner is not None and not owner.is_person:
        problems["owner"] = ["Choose a person as the owner."]
    if time_zone not in time_zones():
        problems["time_zone"] = ["Use an IANA time zone, such as Europe/Berlin."]
    return problems
