"""Sign-ins in the database, found by keys of the form that is given out and by nothing else."""

from __future__ import annotations

import datetime as dt
import re

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session

from accounts.models import Identity

# As Django makes them; anything else is a stranger's, and may be what the database can't even be asked for.
_KEY = re.compile(r"[a-z0-9]{32}")


class SessionStore(DatabaseStore):
    """A sign-in. A key of another form is no key."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key if session_key and _KEY.fullmatch(session_key) else None)


def end_sessions_of(identity: Identity, now: dt.datetime) -> int:
    """Sign a person out of every browser, and return of how many. What names the person is inside a session, so each is
    opened; there are as many as people are signed in.
    """
    own = [
        session.pk
        for session in Session.objects.filter(expire_date__gt=now).iterator()
        if session.get_decoded().get(SESSION_KEY) == str(identity.pk)
    ]
    return Session.objects.filter(pk__in=own).delete()[0]
