"""Password rules, and verification of the current password of a signed-in person."""

from __future__ import annotations

import datetime as dt

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts.attempts import Secret, count_attempt
from accounts.models import Identity
from broker.kernel.errors import Forbidden, InvalidInput


class WrongPassword(InvalidInput):
    """The current password is wrong."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__(
            "Wrong password.",
            hint="Enter the password you sign in with.",
            fields={"current": ["Wrong password."]},
        )


def check_password(identity: Identity, password: str, *, address: str, now: dt.datetime) -> None:
    """Raise WrongPassword unless this is the identity's password, or TooManyTries without checking it.

    The limit prevents a stranger at a signed-in browser from guessing the password. Call this outside the
    transaction of the action, because a rollback would also remove the attempt from the count.
    """
    attempt = count_attempt(Secret.PASSWORD, account=identity.username, address=address, now=now)
    if not identity.check_password(password):
        raise WrongPassword
    attempt.was_right()


def store_password(identity: Identity, password: str) -> None:
    """Save a person's new password, which ends their other sessions. Raises Forbidden (a machine),
    InvalidInput.
    """
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
            "Choose a different password.", hint=" ".join(error.messages), fields={"new": error.messages}
        ) from error
