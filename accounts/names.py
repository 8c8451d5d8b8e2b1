"""One spelling for each name, so that `Alice`, `ａｌｉｃｅ` and ` alice ` are one identity with one lockout counter."""

from __future__ import annotations

import re
import unicodedata

from broker.kernel.errors import InvalidInput

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")


def canonical_username(text: str) -> str:
    """Return the one spelling of a user name: NFKC, case folded, outer spaces removed. Never fails."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def checked_username(text: str) -> str:
    """Return the canonical user name. Raises InvalidInput when it has other characters than `a-z 0-9 . _ @ + -`."""
    name = canonical_username(text)
    if not _USERNAME.fullmatch(name):
        raise InvalidInput(
            f"“{text}” can't be a user name.",
            hint="Use a letter or digit first, then letters, digits and . _ @ + - (100 characters at most).",
            fields={"username": ["Has another form."]},
        )
    return name
