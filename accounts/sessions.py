"""Sign-ins in the database, found by keys of the form that is given out and by nothing else."""

from __future__ import annotations

import re

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

# As Django makes them; anything else is a stranger's, and may be what the database can't even be asked for.
_KEY = re.compile(r"[a-z0-9]{32}")


class SessionStore(DatabaseStore):
    """A sign-in. A key of another form is no key."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key if session_key and _KEY.fullmatch(session_key) else None)
