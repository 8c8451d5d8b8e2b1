"""Short codes that people type to authorize a program (RFC 8628 section 6.1)."""

from __future__ import annotations

import secrets

from django.utils.crypto import salted_hmac

# No vowels, so that codes don't form words, and no easily confused characters.
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8


def new_user_code() -> str:
    """Return a new code of 34 bits, such as `BCDF-GHJK`."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return f"{letters[:4]}-{letters[4:]}"


def typed_code(text: str) -> str:
    """Return the entered code in its canonical form. Case, spaces and hyphens are ignored.

    Returns an empty string for text that can't be a code.
    """
    letters = "".join(text[:50].upper().split()).replace("-", "")
    if len(letters) != LENGTH or not set(letters) <= set(ALPHABET):
        return ""
    return f"{letters[:4]}-{letters[4:]}"


def user_code_digest(code: str) -> str:
    """Return the digest to store for a code. The digest is keyed, because such a short code could be guessed
    from a plain digest.
    """
    return salted_hmac("stint.device", code, algorithm="sha256").hexdigest()
