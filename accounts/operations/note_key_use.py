"""A key opened something."""

from __future__ import annotations

import datetime as dt

from accounts.models import SSHPublicKey

# A fact for people, who look at days; one write a minute keeps it cheap for a key that opens a session each second.
_NOTED_EVERY = dt.timedelta(minutes=1)


def note_key_use(*, key: SSHPublicKey, now: dt.datetime) -> None:
    """Write down when a key was last used, at most once a minute. ``key`` was read in the same transaction.

    One whose row somebody else has locked is left alone: no session waits for another one's note.
    """
    if key.last_used_at is not None and now - key.last_used_at < _NOTED_EVERY:
        return
    free = SSHPublicKey.objects.filter(pk=key.pk).select_for_update(no_key=True, skip_locked=True)
    SSHPublicKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=now)
