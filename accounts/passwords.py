"""Passwords of people: which ones are accepted, and how many wrong ones someone who is signed in may try."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.cache import caches
from django.core.exceptions import ValidationError

from accounts.models import Identity
from broker.kernel.errors import Forbidden, InvalidInput, StintError

_TRIES = 5
_WITHIN = 300


class WrongPassword(InvalidInput):
    """The current password is wrong."""

    code = "wrong_password"


class TooManyTries(StintError):
    """Too many wrong passwords were tried."""

    code = "too_many_tries"
    status = 429


def check_password(identity: Identity, password: str) -> None:
    """Raise WrongPassword unless it is the identity's password. After five wrong ones, raise TooManyTries without
    checking.

    Otherwise, someone who finds a signed-in browser could keep guessing. Attempts are counted for five minutes by each
    web process, outside the database, where a failure would roll the count back.
    """
    counter, key = caches["local"], f"wrong-password:{identity.pk}"
    counter.add(key, 0, _WITHIN)
    if counter.incr(key) > _TRIES:
        raise TooManyTries("Too many wrong passwords.", hint="Try again in five minutes.")
    if not identity.check_password(password):
        raise WrongPassword(
            "Wrong password.", hint="Enter the password you sign in with.",
            fields={"current": ["Wrong password."]},
        )  # fmt: skip
    counter.delete(key)


def store_password(identity: Identity, password: str) -> None:
    """Save a person's new password, which ends their other sessions. Raises Forbidden (a machine), InvalidInput."""
    if not identity.is_person:
        raise Forbidden("Machines don't have passwords.", hint="Add an SSH key or an API token instead.")
    check_new(password, identity)
    identity.set_password(password)
    identity.password_given = False
    identity.save(update_fields=["password", "password_given"])


def check_new(password: str, identity: Identity) -> None:
    """Raise InvalidInput for a password that the rules reject for this identity."""
    try:
        validate_password(password, identity)
    except ValidationError as error:
        raise InvalidInput(
            "Choose another password.", hint=" ".join(error.messages), fields={"new": error.messages}
        ) from error
