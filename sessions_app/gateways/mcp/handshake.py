"""Sessions of the older protocol version. A session gives no access: the token alone decides each message.

A session's id is signed and bound to the token, so that any process can verify it without storing it.

Source: Model Context Protocol 2025-11-25, "Session Management".
"""

from __future__ import annotations

import secrets
from collections import OrderedDict

from django.utils.crypto import constant_time_compare, salted_hmac

_SALT = "stint.mcp.session"
_MOST = 10_000


class Handshakes:
    """The sessions that clients have started. Only the last ten thousand ended sessions are stored."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, None] = OrderedDict()

    def begin(self, holder: str) -> str:
        """Return the id of a new session for the holder of this token."""
        number = secrets.token_urlsafe(16)
        return f"{number}.{_signature(number, holder)}"

    def knows(self, session: str, holder: str) -> bool:
        """Whether this is a session of this token that has not ended."""
        number, _, signature = session.partition(".")
        good = constant_time_compare(signature, _signature(number, holder))
        return good and session not in self._ended

    def end(self, session: str) -> None:
        """End a session, so that its id is no longer valid."""
        self._ended[session] = None
        while len(self._ended) > _MOST:
            self._ended.popitem(last=False)


def _signature(number: str, holder: str) -> str:
    return salted_hmac(_SALT, f"{number}:{holder}", algorithm="sha256").hexdigest()
