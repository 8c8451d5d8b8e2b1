"""Keys with which callers of Stint authenticate: a proxy, or an API server."""

from __future__ import annotations

import re

from pydantic import SecretStr

# Characters.
SHORTEST, LONGEST = 32, 512


def strong_key(key: SecretStr | None) -> SecretStr | None:
    """Return the key unchanged.

    Raises ValueError for a key that could be guessed, or that a header can't contain.
    """
    text = "" if key is None else key.get_secret_value()
    if key is not None and (
        not SHORTEST <= len(text) <= LONGEST or not re.fullmatch(r"[A-Za-z0-9_~.+/=-]+", text)
    ):
        raise ValueError(
            "must be 32 to 512 letters, digits and _ ~ . + / = -: generate one with `openssl rand -base64 32`"
        )
    return key
