"""The token response for an API token (RFC 6749 section 5.1)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from accounts.models import APIToken


def bearer(token: APIToken, text: str, now: dt.datetime) -> dict[str, Any]:
    """Return the members of a token response. ``text`` is the token itself."""
    return {
        "access_token": text,
        "token_type": "Bearer",
        "expires_in": int((token.expires_at - now).total_seconds()),
        "scope": " ".join(token.scopes),
    }
