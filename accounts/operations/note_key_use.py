"""Store when a key was last used."""

from __future__ import annotations

import datetime as dt

from accounts.models import SSHPublicKey

# The value is for people, who look at days. One write a minute keeps it cheap for a key that opens a session each
# second.
_NOTED_EVERY = dt.timedelta(minutes=1)


def note_key_use(*, key: SSHPublicKey, now: dt.datetime) -> None:
    """Store when a key was last used, at most once a minute. ``key`` was read in the same transaction.

    A row that another transaction has locked is skipped, so that no session waits for another one's note.
    """
    if key.last_used_at is not None and now - key.last_used_at < _NOTED_EVERY:
        return
    free = SSHPublicKey.objects.filter(pk=key.pk).select_for_update(no_key=True, skip_locked=True)
    SSHPublicKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=now)
