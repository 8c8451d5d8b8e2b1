"""The worker's Celery app. The worker runs slow side effects; deadlines are enforced by the database and the
sweepers.

Messages expire by the database's clock, so a node with a wrong clock doesn't drop valid messages, or send
messages that other nodes drop.
"""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

from celery import Celery, Task
from celery.signals import before_task_publish, setup_logging
from django.db import Error, connection
from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES

from broker.kernel import clock, request_id, trace_ids, tracing
from broker.kernel.errors import Overtaken

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")


class StintTask(Task):  # type: ignore[type-arg]
    """A worker's task. ``Request`` is given by name, because only a worker needs to import it."""

    Request = "broker.processes.on_time:OnTime"
    # Another process that did the task first is not an error.
    throws = (Overtaken,)


def now() -> dt.datetime:
    """Return the database's time, or this node's time if the database doesn't respond."""
    try:
        return clock.now()
    except Error:
        # Close a lost connection here, because nothing else does so in a thread that lives as long as its
        # process.
        connection.close()
        return dt.datetime.now(dt.UTC)


# The message header with the time of sending, by the database's clock.
SENT_AT = "stint_sent_at"


@before_task_publish.connect
def _lapse_by_the_database(headers: dict[str, Any], **_: object) -> None:
    """Convert the expiry from this node's clock to the database's, and add the time of sending, the request
    ID and the trace to the headers.
    """
    headers[SENT_AT] = now().isoformat()
    if id_ := request_id.current():
        headers[request_id.IN_MESSAGE] = id_
    if parent := tracing.traceparent():
        headers[trace_ids.HEADER] = parent
    if headers.get("expires"):
        ahead = dt.datetime.now(dt.UTC) - now()
        headers["expires"] = (dt.datetime.fromisoformat(headers["expires"]) - ahead).isoformat()


TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "broker.processes.transport:Transport"
TRANSPORT_ALIASES["sentinel"] = "broker.processes.transport:SentinelTransport"
app = Celery("stint", task_cls=StintTask, fixups=["broker.processes.fixup:fixup"])
app.config_from_object("django.conf:settings", namespace="CELERY")
# Time-critical tasks have queues of their own, separate from mail, webhooks and housekeeping. The tasks of a
# grant's life are notifications of the database instead (`broker.kernel.enqueue`).
_QUEUES = {
    "revoke": ["deliveries.handle_lost", "sweep.baseless", "sweep.tick"],
    "provision": ["workflows.read", "workflows.read_all"],
    "upkeep": [
        "clusters.reconcile_all",
        "days.count",
        "ends.count",
        "watches.end_lost",
        "record.attempts",
        "record.checkpoint",
        "record.verify",
    ],
    "notify": [
        "answers.escalate",
        "grants.purge",
        "notices.send",
        "notices.warn",
        "recordings.purge",
        "recordings.reconcile",
        "recordings.reconcile_objects",
        "record.archive",
        "recordings.store",
        "sessions.purge",
        "statements.read_all",
        "targets.check",
        "targets.check_lost",
        "webhooks.purge",
        "webhooks.send",
    ],
}
QUEUES = tuple(_QUEUES)
app.conf.task_queues = [Queue(name) for name in QUEUES]
app.conf.task_default_queue = "notify"
app.conf.task_routes = {task: {"queue": queue} for queue, tasks in _QUEUES.items() for task in tasks}
app.conf.beat_schedule = {
    "sweep": {"task": "sweep.tick", "schedule": 1.0, "options": {"expires": 5}},
    "verify": {"task": "record.verify", "schedule": 600.0, "options": {"expires": 300}},
    "checkpoint": {"task": "record.checkpoint", "schedule": 5.0, "options": {"expires": 5}},
    "attempts": {"task": "record.attempts", "schedule": 5.0, "options": {"expires": 5}},
    "reconcile": {"task": "clusters.reconcile_all", "schedule": 60.0, "options": {"expires": 50}},
    "ends": {"task": "ends.count", "schedule": 60.0, "options": {"expires": 50}},
    "days": {"task": "days.count", "schedule": 3600.0, "options": {"expires": 3000}},
    "watches": {"task": "watches.end_lost", "schedule": 30.0, "options": {"expires": 25}},
    "statements": {"task": "statements.read_all", "schedule": 10.0, "options": {"expires": 8}},
    "deliveries": {"task": "deliveries.handle_lost", "schedule": 3.0, "options": {"expires": 5}},
    "workflows": {"task": "workflows.read_all", "schedule": 10.0, "options": {"expires": 8}},
    "warn": {"task": "notices.warn", "schedule": 20.0, "options": {"expires": 15}},
    "checks": {"task": "targets.check_lost", "schedule": 3.0, "options": {"expires": 5}},
    "mail": {"task": "notices.send", "schedule": 1.0, "options": {"expires": 5}},
    "webhooks": {"task": "webhooks.send", "schedule": 1.0, "options": {"expires": 5}},
    "webhooks_purge": {"task": "webhooks.purge", "schedule": 3600.0, "options": {"expires": 600}},
    "sessions_purge": {"task": "sessions.purge", "schedule": 600.0, "options": {"expires": 300}},
    "grants_purge": {"task": "grants.purge", "schedule": 600.0, "options": {"expires": 300}},
    "recordings_purge": {"task": "recordings.purge", "schedule": 600.0, "options": {"expires": 300}},
    "archive": {"task": "record.archive", "schedule": 600.0, "options": {"expires": 300}},
    "recordings_store": {"task": "recordings.store", "schedule": 30.0, "options": {"expires": 25}},
    "objects_reconcile": {
        "task": "recordings.reconcile_objects",
        "schedule": 6 * 3600.0,
        "options": {"expires": 3600},
    },
    "recordings_reconcile": {"task": "recordings.reconcile", "schedule": 3600.0, "options": {"expires": 600}},
    "escalate": {"task": "answers.escalate", "schedule": 5.0, "options": {"expires": 5}},
    "baseless": {"task": "sweep.baseless", "schedule": 2.0, "options": {"expires": 5}},
}
app.autodiscover_tasks(["sessions_app"])


@setup_logging.connect
def _keep_our_logging(**_: object) -> None:
    """Keep Django's logging setup, whose root handlers Celery would replace."""
