"""Store when a key was last used."""

from __future__ import annotations

import datetime as dt

from accounts.models import SSHPublicKey

# Precision to the minute is sufficient for people, and limits the writes for a key that opens a session
# each second.
_NOTED_EVERY = dt.timedelta(minutes=1)


def note_key_use(*, key: SSHPublicKey, now: dt.datetime) -> None:
    """Store when a key was last used, at most once a minute. ``key`` was read in the same transaction.

    A row that another transaction has locked is skipped, so that sessions don't wait for each other.
    """
    if key.last_used_at is not None and now - key.last_used_at < _NOTED_EVERY:
        return
    free = SSHPublicKey.objects.filter(pk=key.pk).select_for_update(no_key=True, skip_locked=True)
    SSHPublicKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=now)
