"""Metrics of the database and the queue, which are read at each scrape and are the same on every
web process.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Count, Min, QuerySet
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker.audit.models import AuditBacklog
from broker.audit.queries import checkpoint_trouble, last_number, latest_verification, oldest_unsigned
from broker.kernel import clock
from broker.queue_state import queues
from sessions_app.models import (
    AccessRequest,
    CommandRun,
    DriftKind,
    GatewayNode,
    Notice,
    RequestState,
    WebhookMessage,
    WebhookState,
)
from sessions_app.queries.grants.current import live_grants, overdue
from sessions_app.queries.record.recording_files import Rooms, free_disk, waiting_recordings
from sessions_app.queries.requests.facts import sweeper_silence
from sessions_app.queries.status.backlog import given_up_mail, longest_unreconciled, oldest_unmailed
from sessions_app.queries.status.end_latency import CAUSES, DAYS, ends_of
from sessions_app.queries.status.failing import (
    failing_ends,
    failing_sources,
    failing_targets,
    failing_webhooks,
    observed_targets,
    paused_webhooks,
    unresolved_drift,
)
from sessions_app.queries.status.problems import GATEWAY_GONE, age

# The total size of recordings is computed only once a minute, because computing it reads the size of every
# file.
rooms = Rooms()

Values = Mapping[tuple[str, ...], float]


class Measured(NamedTuple):
    """A metric: its name, help text and labels, and the function that reads its values by label values."""

    name: str
    says: str
    labels: tuple[str, ...]
    read: Callable[[dt.datetime], Values]
    counts: bool = False


def _one(read: Callable[[dt.datetime], float]) -> Callable[[dt.datetime], Values]:
    return lambda now: {(): read(now)}


def _plain(name: str, says: str, read: Callable[[dt.datetime], float], *, counts: bool = False) -> Measured:
    return Measured(name, says, (), _one(read), counts)


def _silence(now: dt.datetime) -> float:
    silence = sweeper_silence(now)
    return math.inf if silence is None else silence


def _verified(now: dt.datetime) -> float:
    last = latest_verification()
    return math.inf if last is None else age(last.at, now)


def _intact(_: dt.datetime) -> float:
    last = latest_verification()
    return float(last is None or last.ok)


def _checkpoints(now: dt.datetime) -> float:
    trouble = checkpoint_trouble()
    return age(trouble.since if trouble else None, now)


def _gateways(now: dt.datetime) -> Values:
    nodes = GatewayNode.objects.filter(seen_at__gt=now - GATEWAY_GONE, stopped_at__isnull=True)
    return {(name,): age(seen, now) for name, seen in nodes.values_list("name", "seen_at")}


def _drift(_: dt.datetime) -> Values:
    found = dict(unresolved_drift().order_by().values_list("kind").annotate(count=Count("pk")))
    return {(kind,): found.get(kind, 0) for kind in DriftKind.values}


def _undelivered(now: dt.datetime) -> float:
    waiting = WebhookMessage.objects.filter(
        state=WebhookState.PENDING, endpoint__paused_at__isnull=True, endpoint__removed_at__isnull=True
    )
    return age(waiting.aggregate(at=Min("created_at"))["at"], now)


def _requests() -> QuerySet[AccessRequest]:
    return AccessRequest.objects.filter(state=RequestState.PENDING)


def _oldest_hold(now: dt.datetime) -> float:
    return age(CommandRun.objects.waiting(now).aggregate(at=Min("tried_at"))["at"], now)


def _free(_: dt.datetime) -> float:
    disk = free_disk()
    return disk.free if disk else -1


# Only connections of the current role, which can't see the states of other roles' connections.
_CONNECTIONS = """
SELECT application_name, coalesce(state, 'unknown'), count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND backend_type = 'client backend'
 GROUP BY 1, 2
"""
_LIMIT = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


def _connections(_: dt.datetime) -> Values:
    with connection.cursor() as cursor:
        cursor.execute(_CONNECTIONS)
        return {(application, state): count for application, state, count in cursor.fetchall()}


def _limit(_: dt.datetime) -> float:
    with connection.cursor() as cursor:
        cursor.execute(_LIMIT)
        return float(cursor.fetchone()[0])


def _budget(now: dt.datetime) -> Values:
    return {(cause,): ends_of(cause, now).budget_left for cause in CAUSES}


STATE = (
    _plain(
        "stint_clock_skew_seconds",
        "How far this node's clock is ahead of the database's",
        lambda _: clock.skew(),
    ),
    Measured(
        "stint_grants",
        "Grants that have not ended, by state",
        ("state",),
        lambda _: {(state,): count for state, count in live_grants().items()},
    ),
    _plain(
        "stint_overdue_ends",
        "Grants past their end whose revocation is not confirmed",
        lambda now: overdue(now)[0],
    ),
    _plain(
        "stint_oldest_overdue_end_seconds",
        "How long the most overdue grant is past its end",
        lambda now: overdue(now)[1],
    ),
    _plain(
        "stint_failing_ends",
        "Grants whose revocation failed on a target and is not confirmed",
        lambda _: failing_ends().count(),
    ),
    Measured(
        "stint_error_budget_left_ratio",
        f"Share of the {DAYS}-day error budget that is left: 1 is all, 0 is none, below 0 is overspent",
        ("cause",),
        _budget,
    ),
    _plain(
        "stint_sweepers_silent_seconds",
        "Seconds since a process that ends access last ran; +Inf if never",
        _silence,
    ),
    Measured(
        "stint_gateway_silent_seconds",
        "Seconds since a gateway was last seen, for gateways seen within a day and not stopped",
        ("gateway",),
        _gateways,
    ),
    _plain("stint_requests_waiting", "Requests waiting for approval", lambda _: _requests().count()),
    _plain(
        "stint_oldest_request_waiting_seconds",
        "Age of the oldest request waiting for approval",
        lambda now: age(_requests().aggregate(at=Min("created_at"))["at"], now),
    ),
    _plain(
        "stint_holds_waiting",
        "Held commands waiting for approval",
        lambda now: CommandRun.objects.waiting(now).count(),
    ),
    _plain(
        "stint_oldest_hold_waiting_seconds",
        "Age of the oldest held command waiting for approval",
        _oldest_hold,
    ),
    _plain("stint_targets", "Targets that are reconciled", lambda _: observed_targets().count()),
    _plain(
        "stint_targets_failing",
        "Targets that the last reconciliation could not read",
        lambda _: failing_targets().count(),
    ),
    Measured("stint_drift", "Unresolved differences (drift) on targets", ("kind",), _drift),
    _plain(
        "stint_oldest_unreconciled_cluster_seconds",
        "Time since the oldest of the clusters' last reconciliations, in seconds",
        lambda now: age(longest_unreconciled(), now),
    ),
    _plain(
        "stint_workflow_sources_failing",
        "Workflow sources whose last query failed",
        lambda _: failing_sources().count(),
    ),
    _plain("stint_unsent_notices", "Emails waiting to be sent", lambda _: Notice.objects.to_mail().count()),
    _plain(
        "stint_oldest_unsent_notice_seconds",
        "Age of the oldest email waiting to be sent",
        lambda now: age(oldest_unmailed(), now),
    ),
    _plain(
        "stint_notices_given_up",
        "Emails that Stint stopped retrying in the last day",
        lambda now: given_up_mail(now - dt.timedelta(days=1)),
    ),
    _plain("stint_webhooks_paused", "Paused webhooks", lambda _: paused_webhooks().count()),
    _plain(
        "stint_webhooks_failing", "Webhooks whose last delivery failed", lambda _: failing_webhooks().count()
    ),
    _plain(
        "stint_oldest_undelivered_webhook_seconds",
        "Age of the oldest undelivered message of a webhook that is not paused",
        _undelivered,
    ),
    _plain("stint_record_entries", "Entries in the record", lambda _: last_number(), counts=True),
    _plain("stint_record_intact", "Whether the last verification found the record intact: 1 or 0", _intact),
    _plain(
        "stint_record_verified_seconds",
        "Seconds since the record was last verified; +Inf if never",
        _verified,
    ),
    _plain(
        "stint_record_backlog_entries",
        "Entries in the backlog, which the record has not accepted yet",
        lambda _: AuditBacklog.objects.count(),
    ),
    _plain(
        "stint_oldest_unsigned_entry_seconds",
        "Age of the oldest entry not covered by a checkpoint",
        lambda now: age(oldest_unsigned(), now),
    ),
    _plain(
        "stint_checkpoints_failing_seconds",
        "Seconds for which making checkpoints, or storing them outside the database, has failed",
        _checkpoints,
    ),
    _plain("stint_recordings_bytes", "Bytes used by recordings", lambda _: rooms.in_all()),
    _plain(
        "stint_recordings_free_bytes",
        "Free bytes on the disk with the recordings; -1 if it is on another machine",
        _free,
    ),
    _plain(
        "stint_recordings_unstored_bytes",
        "Bytes of recordings waiting for the object store",
        lambda _: waiting_recordings().bytes,
    ),
    _plain(
        "stint_oldest_unstored_recording_seconds",
        "Age of the oldest recording waiting for the object store",
        lambda now: age(waiting_recordings().since, now),
    ),
    Measured(
        "stint_database_connections",
        "Connections of Stint to its database",
        ("application", "state"),
        _connections,
    ),
    _plain("stint_database_connections_limit", "Connections that the database accepts in total", _limit),
)


class State(Collector):
    """The collector, which reads every metric at each scrape, or reports only that the database is
    unreachable.
    """

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values, so that registering the collector reads nothing from the
        database.
        """
        yield _up(0)
        yield from (_family(one, {}) for one in STATE)
        yield from queues(None)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their values."""
        try:
            now = clock.now()
            found = [_family(one, one.read(now)) for one in STATE]
        except (DatabaseError, InterfaceError):
            found = []
        yield _up(bool(found))
        yield from found
        yield from queues(now if found else None)


def _up(value: float) -> Metric:
    return GaugeMetricFamily("stint_database_up", "Whether the database responds: 1 or 0", value=value)


def _family(one: Measured, values: Values) -> Metric:
    kind = CounterMetricFamily if one.counts else GaugeMetricFamily
    family = kind(one.name, one.says, labels=one.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


registry = CollectorRegistry()
registry.register(State())
