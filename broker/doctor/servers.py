"""Checks of the servers that Stint needs: the database, the queue and the mail server."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from typing import Any

import redis
from django.conf import settings
from django.core.mail import get_connection
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError

from broker.celery import QUEUES, app
from broker.doctor.finding import Finding, many, ok, warning, wrong

OLDEST_VERSION = 150000
# Connections that a process of each kind may open, as in the Deploying guide, and a few for people.
MOST = {"worker": 95, "gateway": 25, "web": 5, "streams": 10}
PEOPLE = 5
# If the queue is longer than this, the worker does not keep up.
LONG_QUEUE = 1000
# Processes are named by `name_process`.
_PROCESSES = """
SELECT split_part(application_name, ' ', 2), count(DISTINCT regexp_replace(application_name, ' listen$', ''))
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'stint %' GROUP BY 1
"""
_DATABASE = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_user,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('server_encoding'), current_setting('fsync'), current_setting('full_page_writes'),
       current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
       EXISTS (SELECT FROM pg_stat_replication)
"""


def of_database() -> Iterator[Finding]:
    """Check the database: its version, schema, durability and connection limit."""
    with connection.cursor() as cursor:
        cursor.execute(_DATABASE)
        version, number, role, room, used, encoding, *durable, waits_for, streams = cursor.fetchone()
    if number < OLDEST_VERSION:
        yield wrong(
            "database",
            f"PostgreSQL {version} is too old",
            why="Stint requires PostgreSQL 15 or newer.",
            fix="Upgrade PostgreSQL, then run `manage.py migrate`.",
        )
    else:
        yield ok("database", f"PostgreSQL {version}, as the role {role}")
    yield from _schema(encoding)
    yield from _durability(*durable)
    yield from _standby(waits_for=waits_for, streams=streams)
    yield _connections(room, used)


def _schema(encoding: str) -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        yield wrong(
            "database",
            f"{many(len(missing), 'migration')} not applied, the first one is {missing[0][0]}",
            why="This version of Stint needs tables that don't exist yet.",
            fix="Run `manage.py migrate`.",
        )
    else:
        yield ok("database", "all migrations are applied")
    if encoding != "UTF8":
        yield wrong(
            "database",
            f"encoding is {encoding}, not UTF8",
            why="Names and commands in other scripts can't be stored.",
            fix="Create a database with ENCODING 'UTF8', and move the data there.",
        )


def _durability(fsync: str, pages: str, commit: str) -> Iterator[Finding]:
    unsafe = [
        name
        for name, value in (("fsync", fsync), ("full_page_writes", pages), ("synchronous_commit", commit))
        if value == "off"
    ]
    for name in unsafe:
        yield wrong(
            "database",
            f"{name} is off",
            why="A crash can lose entries of the record and restore access that was ended.",
            fix=f"Run `ALTER SYSTEM SET {name} = on;` and `SELECT pg_reload_conf();` as a superuser.",
        )


def _standby(*, waits_for: str, streams: bool) -> Iterator[Finding]:
    if waits_for and not streams:
        yield wrong(
            "database",
            f"no standby of {waits_for} is connected",
            why="Commits wait for a standby, so nothing can be recorded and no access starts.",
            fix="Start the standby, or set synchronous_standby_names to '' until it is back.",
        )
    elif streams and not waits_for:
        yield warning(
            "database",
            "no commit waits for its standby",
            why="A failover can lose entries of the record, and restore access that was ended.",
            fix="Set synchronous_standby_names on the primary, as described in the High availability guide.",
        )
    elif streams:
        yield ok("database", f"commits wait for a standby of {waits_for}")


def _connections(room: int, used: int) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute(_PROCESSES)
        found = dict(cursor.fetchall())
    # Processes that are not running now may start at any time.
    counts = {kind: max(found.get(kind, 0), 1) for kind in MOST}
    needed = sum(MOST[kind] * count for kind, count in counts.items()) + PEOPLE
    counted = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    said = f"{used} of {room} connections are in use; processes ({counted}) may need {needed}"
    if needed <= room:
        return ok("database", said)
    return warning(
        "database",
        said,
        why="Under load, some processes may get no connection, and then can't start or show access.",
        fix=(
            f"Run `ALTER SYSTEM SET max_connections = {needed + 20};` as a superuser, and restart PostgreSQL."
        ),
    )


def of_queue() -> Iterator[Finding]:
    """Check the queue of the worker."""
    try:
        with app.connection_for_read() as queue:
            channel: Any = queue.default_channel
            client = channel.client
            server, lengths = client.info(), {name: client.llen(name) for name in QUEUES}
    except (redis.RedisError, OperationalError, OSError) as error:
        yield wrong(
            "queue",
            f"did not respond: {error}",
            why="Access still ends on time, but mail, webhooks, checks and checkpoints are delayed.",
            fix="Start Valkey or Redis, and check REDIS_URL.",
        )
        return
    name = (
        f"Valkey {server['valkey_version']}"
        if "valkey_version" in server
        else f"Redis {server['redis_version']}"
    )
    yield ok("queue", f"{name}, {many(sum(lengths.values()), 'message')} waiting")
    yield from _queue(server.get("maxmemory_policy", "noeviction"), lengths)


def _queue(policy: str, lengths: dict[str, int]) -> Iterator[Finding]:
    if policy != "noeviction":
        yield warning(
            "queue",
            f"maxmemory-policy is {policy}",
            why="When the queue's memory is full, messages are dropped.",
            fix="Run `CONFIG SET maxmemory-policy noeviction` on the queue server, and set the policy "
            "in its configuration file.",
        )
    for name, length in lengths.items():
        if length > LONG_QUEUE:
            yield warning(
                "queue",
                f"{length:,} messages waiting in {name}",
                why="The worker is too slow or not running.",
                fix="Start a worker, or add another worker.",
            )


def of_mail() -> Iterator[Finding]:
    """Check the mail server, without sending anything."""
    if not settings.EMAIL_HOST:
        yield warning(
            "mail",
            "no mail server is set",
            why="Approvers and holders are notified only on pages.",
            fix=(
                "Set STINT_SMTP_HOST, STINT_SMTP_PORT, STINT_SMTP_USER, STINT_SMTP_PASSWORD and"
                " STINT_MAIL_FROM."
            ),
        )
        return
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    server = get_connection()
    try:
        server.open()
    except (OSError, smtplib.SMTPException) as error:
        yield wrong(
            "mail",
            f"can't connect to {where}: {error}",
            why="Approvers and holders get no email. Stint retries each message for hours.",
            fix=(
                "Check STINT_SMTP_HOST, _PORT, _USER, _PASSWORD and STINT_SMTP_TLS, and the network to the"
                " server."
            ),
        )
    else:
        yield ok("mail", f"{where} accepts connections from this node")
    finally:
        server.close()
