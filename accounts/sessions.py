"""Sign-in sessions in the database, looked up only by well-formed keys."""

from __future__ import annotations

import re

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

# The format of Django's session keys. Anything else is forged, and might not even be valid in a database
# query.
_KEY = re.compile(r"[a-z0-9]{32}")


class SessionStore(DatabaseStore):
    """A sign-in session. A malformed key is treated as missing."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key if session_key and _KEY.fullmatch(session_key) else None)
