"""The short codes that people type to let a program in (RFC 8628 section 6.1)."""

from __future__ import annotations

import secrets

from django.utils.crypto import salted_hmac

# No vowels, so that no words come out, and nothing that is read as something else.
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8


def new_user_code() -> str:
    """Return a fresh code of 34 bits, such as `BCDF-GHJK`."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return f"{letters[:4]}-{letters[4:]}"


def typed_code(text: str) -> str:
    """Return the entered code in its canonical form: case, spaces and dashes make no difference.

    What can't be a code becomes the empty text.
    """
    letters = "".join(text[:50].upper().split()).replace("-", "")
    if len(letters) != LENGTH or not set(letters) <= set(ALPHABET):
        return ""
    return f"{letters[:4]}-{letters[4:]}"


def user_code_digest(code: str) -> str:
    """Return what is kept of a code: keyed, because one that is so short could be guessed from a plain digest."""
    return salted_hmac("stint.device", code, algorithm="sha256").hexdigest()
