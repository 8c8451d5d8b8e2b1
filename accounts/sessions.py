"""Sign-in sessions in the database, looked up only by well-formed keys."""

from __future__ import annotations

import re

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from broker.kernel.postgresql.rows import Rows

# The format of Django's session keys. Anything else is forged, and might not even be valid in a database
# query.
_KEY = re.compile(r"[a-z0-9]{32}")
_LIVE = Rows(Session, tail="WHERE django_session.session_key = %s AND django_session.expire_date > %s")


class SessionStore(DatabaseStore):
    """A sign-in session. A malformed key is treated as missing."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key if session_key and _KEY.fullmatch(session_key) else None)

    def _get_session_from_db(self) -> Session | None:
        """Return the row of the session, without composing the statement anew for each request."""
        found = _LIVE.first(self.session_key, timezone.now()) if self.session_key else None
        if found is None:
            self._session_key = None
        return found
