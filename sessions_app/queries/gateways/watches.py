"""Live views of running commands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from broker.kernel.crypto import CannotDecrypt, place_of, unseal
from sessions_app.connectors.registry import find
from sessions_app.models import CommandRun, RunState, Watch

# The Kubernetes commands with terminal output. Other requests return objects, which are not recorded.
_STREAMED = (["exec"], ["attach"])


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """A live view that receives the output of a run, with its channel and its encryption key."""

    id: int
    run_id: int
    channel: str
    key: bytes


def open_watches(run_ids: Iterable[int], now: dt.datetime) -> list[OpenWatch]:
    """Return the confirmed views of these runs. A view whose key can't be decrypted gets no output."""
    return [
        opened for watch in Watch.objects.confirmed(now).filter(run__in=run_ids) if (opened := _opened(watch))
    ]


def _opened(watch: Watch) -> OpenWatch | None:
    try:
        key = unseal(bytes(watch.sealed_key), place=place_of(watch, "sealed_key"))
    except CannotDecrypt:
        return None
    return OpenWatch(watch.pk, watch.run_id, watch.channel, key)


def watchable(run: CommandRun) -> bool:
    """Whether a command is running, and a gateway records its output. The command's cluster
    must have been loaded.
    """
    kind = find(run.grant.cluster.kind)
    # The result of a statement is recorded once it is complete.
    ordered = hasattr(run, "order") and run.grant.cluster.kind != "postgres"
    recorded = (kind is not None and kind.runs) or run.argv[:1] in _STREAMED or ordered
    return run.state == RunState.RUNNING and recorded
