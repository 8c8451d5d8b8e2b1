"""Checks of Stint itself: its processes, its record and the targets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from broker.audit.actor import Actor
from broker.audit.models import MAIN_LOG, AuditReading
from broker.audit.queries import latest_verification
from broker.doctor.finding import Finding, Level, of_trouble, ok, warning, wrong
from broker.kernel import clock
from sessions_app.models import GatewayNode, Sweeper, Target
from sessions_app.operations.targets.look_at_target import is_right, look_at_target
from sessions_app.policy.rules import SWEEPER_SILENCE
from sessions_app.queries.status.problems import GATEWAY_GONE, GATEWAY_SILENCE, troubles

# The number of targets that are checked at the same time, so that a few that hang don't delay the others.
AT_ONCE = 16
VERIFIED, WHOLE = dt.timedelta(hours=1), dt.timedelta(days=2)


def of_processes() -> Iterator[Finding]:
    """Check the processes and the backlog, as Stint itself reports them."""
    now = clock.now()
    for trouble in troubles(now):
        yield of_trouble("processes", Level.WRONG, trouble)
    for sweeper in Sweeper.objects.filter(seen_at__gt=now - dt.timedelta(seconds=SWEEPER_SILENCE)).order_by(
        "name"
    ):
        yield ok("processes", f"{sweeper.name} is running; last seen {_ago(sweeper.seen_at, now)} ago")
    yield from _gateways(now)


def _gateways(now: dt.datetime) -> Iterator[Finding]:
    nodes = list(GatewayNode.objects.filter(seen_at__gt=now - GATEWAY_GONE, stopped_at=None).order_by("name"))
    for node in nodes:
        if now - node.seen_at <= GATEWAY_SILENCE:
            yield ok("gateways", f"{node.name} {node.version}, up since {node.started_at:%Y-%m-%d %H:%M} UTC")
        else:
            yield warning(
                "gateways",
                f"{node.name} was last seen {_ago(node.seen_at, now)} ago",
                why="If the gateway is running, it has lost the database, closed all sessions and "
                "accepts no connections.",
                fix="Check the gateway's log, and restart it.",
            )
    if not nodes:
        yield warning(
            "gateways",
            "none seen within a day",
            why="No command can run through Stint, and only the worker ends access.",
            fix="Start `manage.py gateway`.",
        )


def of_record() -> Iterator[Finding]:
    """Check when the record was last verified, and the result."""
    found = latest_verification()
    now = clock.now()
    if found is None or now - found.at > VERIFIED:
        yield warning(
            "record",
            "not verified within the last hour",
            why="Stint would detect tampering late.",
            fix="Start the worker, or run `manage.py audit_verify`.",
        )
    elif not found.ok:
        yield wrong(
            "record",
            f"broken at entry {found.first_bad_seq}: {found.detail}",
            why="Someone with access to the database changed the record, or a disk is failing.",
            fix="Keep the database as it is, and follow the Evidence guide.",
        )
    else:
        yield ok("record", f"{found.entries:,} entries, verified {_ago(found.at, now)} ago")
        yield from _whole(found.whole_at, now)


def _whole(at: dt.datetime | None, now: dt.datetime) -> Iterator[Finding]:
    """Check when all entries were last verified. Between full verifications, only new entries are
    verified.
    """
    reading = AuditReading.objects.filter(log=MAIN_LOG).values_list("seq", flat=True).first()
    said = f"fully verified at {at:%Y-%m-%d %H:%M} UTC" if at else "never fully verified"
    if reading is not None:
        said += f"; a full verification is at entry {reading:,}"
    if at is None or now - at > WHOLE:
        yield warning(
            "record",
            said,
            why="Stint would detect a change to an old entry late.",
            fix="Start the worker, or run `manage.py audit_verify`.",
        )
    else:
        yield ok("record", said)


def of_targets() -> Iterator[Finding]:
    """Log in to every target, like the Check button. Each check is recorded."""
    targets = Target.objects.live().filter(cluster__removed_at=None).select_related("cluster")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(_target, targets.order_by("cluster__name", "name"))


def _target(target: Target) -> Finding:
    name = f"{target.cluster.name} {target.name}"
    try:
        steps = look_at_target(target=target, actor=Actor.system("doctor"), now=clock.now)
    finally:
        connections.close_all()
    if is_right(steps):
        return ok("targets", f"{name}: {len(steps)} checks")
    bad = next(step for step in steps if not step.ok)
    return wrong(
        "targets",
        f"{name}: {bad.name}: {bad.detail}",
        why="Access to this target can't start, or can't be confirmed to have ended.",
        fix=bad.fix or "Open the cluster's page and run the check there.",
    )


def _ago(moment: dt.datetime, now: dt.datetime) -> str:
    return f"{max(0.0, (now - moment).total_seconds()):.0f} s"
