"""The open live views of running commands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from broker.kernel.crypto import CannotDecrypt, place_of, unseal
from sessions_app.models import Watch


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """A view that gets the output of a run, and how: on which channel, sealed under which key."""

    id: int
    run_id: int
    channel: str
    key: bytes


def open_watches(run_ids: Iterable[int], now: dt.datetime) -> list[OpenWatch]:
    """Return the confirmed views of these runs. One whose key can't be decrypted gets nothing."""
    return [
        opened for watch in Watch.objects.confirmed(now).filter(run__in=run_ids) if (opened := _opened(watch))
    ]


def _opened(watch: Watch) -> OpenWatch | None:
    try:
        key = unseal(bytes(watch.sealed_key), place=place_of(watch, "sealed_key"))
    except CannotDecrypt:
        return None
    return OpenWatch(watch.pk, watch.run_id, watch.channel, key)
