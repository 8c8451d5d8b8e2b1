"""Canonical usernames, so that `Alice`, `ａｌｉｃｅ` and ` alice ` are one identity with one lockout counter."""

from __future__ import annotations

import re
import unicodedata

from broker.kernel.errors import InvalidInput

USERNAME = "[a-z0-9][a-z0-9._@+-]{0,99}"


def canonical_username(text: str) -> str:
    """Return the canonical spelling of a username: NFKC, case folded, outer spaces removed. Never fails."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def checked_username(text: str) -> str:
    """Return the canonical username. Raises InvalidInput if it has characters other than `a-z 0-9 .
    _ @ + -`.
    """
    name = canonical_username(text)
    if not re.fullmatch(USERNAME, name):
        raise InvalidInput(
            f"“{text}” isn't a valid username.",
            hint=(
                "Start with a letter or digit, then use letters, digits and . _ @ + - (at most 100"
                " characters)."
            ),
            fields={"username": ["Not a valid username."]},
        )
    return name
