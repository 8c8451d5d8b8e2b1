"""`manage.py person NAME`: create a person, service or agent, with a first key and token."""

from __future__ import annotations

import datetime as dt
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from accounts.models import Identity, Kind, Scope
from accounts.names import canonical_username
from accounts.operations.add_ssh_key import add_ssh_key
from accounts.operations.create_identity import create_identity
from accounts.operations.create_token import create_token
from accounts.passwords import check_new
from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError

_OF_NEW = ("admin", "full_name", "email", "group", "kind", "owner", "password_stdin")
_ACTOR = Actor.system("person")


class Command(StintCommand):
    """Create the identity if it doesn't exist, then add the key and the token. The token is on the last line
    of the output.
    """

    help = (
        "Create a person, service or agent, or add an SSH key or a token to an existing one. Each "
        "change is recorded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("username")
        add("--admin", action="store_true", help="make a new person an administrator")
        add("--full-name", default="", help="name that others see")
        add(
            "--email",
            default="",
            help="email address of a new person, which identifies them across accounts",
        )
        add("--group", action="append", default=[], help="group to join, created if missing; can be repeated")
        add("--kind", choices=Kind.values, default="", help="kind of a new identity (default: person)")
        add("--owner", default="", help="person who is responsible for the service or agent")
        add("--password-stdin", action="store_true", help="read the password from standard input")
        add("--key", type=Path, help="file with one SSH public key, such as ~/.ssh/id_ed25519.pub")
        add("--token", metavar="LABEL", default="", help="create an API token with this label")
        add(
            "--scope",
            action="append",
            default=[],
            choices=Scope.values,
            help="scope of the token; can be repeated (default: read)",
        )
        add("--days", type=int, default=30, help="lifetime of the token in days, at most 90 (default: 30)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                done = list(self._done(options))
        except StintError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("\n".join(done))

    def _done(self, options: dict[str, Any]) -> Iterator[str]:
        """Make the changes, and yield a line of output for each change."""
        identity = _there(options)
        if identity is None:
            identity = _created(options)
            yield (
                f"{identity.username} is"
                f" {'an administrator' if identity.is_superuser else f'a new {identity.kind}'}."
            )
        if options["key"]:
            key = add_ssh_key(
                identity_id=identity.pk, public_key=_text(options["key"]), actor=_ACTOR, now=clock.now()
            )
            yield f"{identity.username} can use the key {key.fingerprint}."
        if options["token"]:
            token, text = create_token(
                identity_id=identity.pk,
                label=options["token"],
                scopes=options["scope"] or [Scope.READ],
                lifetime=dt.timedelta(days=options["days"]),
                actor=_ACTOR,
                now=clock.now(),
            )
            yield (
                f"A token for {', '.join(token.scopes)} until {token.expires_at:%Y-%m-%d %H:%M} UTC:\n{text}"
            )


def _there(options: dict[str, Any]) -> Identity | None:
    """Return the identity with that name, if it exists. For an existing identity, the command can only add a
    key or a token.
    """
    found = Identity.objects.filter(username=canonical_username(options["username"])).first()
    if found is None:
        return None
    if given := [name for name in _OF_NEW if options[name]]:
        raise CommandError(
            f"{found.username} already exists, and --{given[0].replace('_', '-')} applies only to new"
            " accounts. Change the account on its page instead."
        )
    if not (options["key"] or options["token"]):
        raise CommandError(
            f"{found.username} already exists. To add a key or a token, pass --key or --token."
        )
    return found


def _created(options: dict[str, Any]) -> Identity:
    password = sys.stdin.readline().rstrip("\n") if options["password_stdin"] else None
    if password is not None:
        check_new(password, Identity(username=options["username"]))
    return create_identity(
        username=options["username"],
        kind=options["kind"] or Kind.PERSON,
        name=options["full_name"],
        email=options["email"],
        owner=_owner(options),
        password=password,
        groups=options["group"],
        is_superuser=options["admin"],
        actor=_ACTOR,
        now=clock.now(),
    )


def _owner(options: dict[str, Any]) -> Identity | None:
    machine = options["kind"] not in ("", Kind.PERSON)
    if machine != bool(options["owner"]):
        raise CommandError("A service or an agent needs --owner; a person can't have one.")
    if machine and (options["admin"] or options["password_stdin"]):
        raise CommandError("A service or an agent can't have --admin or --password-stdin.")
    if not machine:
        return None
    owner = Identity.objects.filter(username=canonical_username(options["owner"])).first()
    if owner is None:
        raise CommandError(f"User {options['owner']} not found.")
    return owner


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}.") from error
