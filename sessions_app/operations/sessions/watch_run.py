"""Begin to watch the output of a running command."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.crypto import place_of, seal
from broker.kernel.errors import NotFound, StintError
from broker.kernel.sealed_channel import new_key
from sessions_app.models import CommandRun, RunState, Watch

# The gateway encrypts and publishes the output separately for each watcher.
MOST_WATCHERS = 8
# Gateways listen on this database channel. The payload is the run's id.
NOTIFIES = "stint_watch"


class NotRunning(StintError):
    """The command is not running, so there is nothing to watch live. Open its recording."""

    code = "not_running"
    status = 409


class TooManyWatchers(StintError):
    """The maximum number of people already watch this command. Wait until one of them stops."""

    code = "too_many_watchers"
    status = 429


@dataclass(frozen=True, slots=True)
class Watching:
    """A live view that has begun: its id, and the key for its messages."""

    id: int
    key: bytes


def watch_run(*, run_id: int, actor: Identity, channel: str, now: dt.datetime) -> Watching:
    """Record that a person begins to watch a running command, and request its output on a channel.

    Subscribe to ``channel`` first, because the gateway starts publishing as soon as this is committed. Raises
    NotFound for a run that the actor can't see, NotRunning and TooManyWatchers.
    """
    key = new_key()
    with transaction.atomic():
        run = _running(run_id, actor)
        _limit(run, now)
        watch = Watch(run=run, watcher=actor, channel=channel, began_at=now, seen_at=now)
        watch.sealed_key = seal(key, place=place_of(watch, "sealed_key"))
        watch.save(force_insert=True)
        record(
            event=Event.COMMAND_WATCH_BEGAN,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=run.grant.ref,
            now=now,
            data={"run": run.pk, "target": run.target.name},
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [NOTIFIES, str(run.pk)])
    return Watching(watch.pk, key)


def _running(run_id: int, actor: Identity) -> CommandRun:
    runs = CommandRun.objects.visible_to(actor).select_related("grant", "target")
    run = runs.filter(pk=run_id).first()
    if run is None:
        raise NotFound("Command not found.")
    if run.state != RunState.RUNNING:
        raise NotRunning("The command is not running.", hint="Open its recording.")
    return run


def _limit(run: CommandRun, now: dt.datetime) -> None:
    """Reject a watcher above the limit. People who begin at the same time wait only for each
    other.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('watches', %s))", [run.pk])
    if run.watches.confirmed(now).count() >= MOST_WATCHERS:
        raise TooManyWatchers(
            f"{MOST_WATCHERS} people already watch this command.", hint="Wait until one of them stops."
        )
