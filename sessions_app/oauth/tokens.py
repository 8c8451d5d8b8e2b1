"""How an API token is answered (RFC 6749 section 5.1)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from accounts.models import APIToken


def bearer(token: APIToken, text: str, now: dt.datetime) -> dict[str, Any]:
    """Return the members of an answer that holds the token."""
    return {
        "access_token": text,
        "token_type": "Bearer",
        "expires_in": int((token.expires_at - now).total_seconds()),
        "scope": " ".join(token.scopes),
    }
