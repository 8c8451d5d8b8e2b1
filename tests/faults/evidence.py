"""Compares the database, the record, the targets and /proc after a run with the responses that people got."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.faults.clients import SQL
from tests.faults.judge import Facts, Outage, Use
from tests.faults.lives import Life, People
from tests.faults.watch import Watch


def facts(people: People, watch: Watch, outages: list[Outage], runs: Path, stuck: list[str]) -> Facts:
    """Gather all facts, once everything works again."""
    started = _started(runs)
    problems = [
        *_lost(people.lives),
        *_doubled(started),
        *_unrecorded(started),
        *_used_afterwards(people.lives),
        *_stuck(people, stuck),
        *(("crashed", text) for text in people.crashed),
    ]
    uses = [use for life in people.lives if life.used and (use := _use(life, watch)) is not None]
    return Facts(uses, outages, problems, len(people.lives))


def _started(runs: Path) -> Counter[int]:
    """Return how often each command ran, by its tag."""
    words = (line.split() for line in runs.read_text(encoding="utf-8").splitlines())
    return Counter(int(line[1]) for line in words if len(line) == 2 and line[1].isdigit())


def _use(life: Life, watch: Watch) -> Use | None:
    from sessions_app.models import Grant

    grant = Grant.objects.get(ref=life.grant)
    if grant.revoking_at is None:
        return None
    expires, revoked = grant.expires_at.timestamp(), grant.revoking_at.timestamp()
    seen = watch.of(life.tag)
    cause, ended = ("revoke", revoked) if grant.end_reason != "expired" else ("deadline", expires)
    gone = None if seen.there else seen.last
    return Use(
        life.grant,
        f"{life.uses.asks[0]} {life.kind}",
        life.target,
        cause,
        ended,
        gone,
        watch.stalled(ended, gone or ended),
        direct=isinstance(life.uses, SQL),
    )


def _lost(lives: list[Life]) -> Iterator[tuple[str, str]]:
    """Return what was confirmed to a client but is not in the record."""
    from broker.audit.models import AuditEntry

    for life in lives:
        for act in life.acts:
            if not AuditEntry.objects.filter(event=act.event, object_ref=act.ref).exists():
                yield "lost", f"{act.event} of {act.ref}, which {life.holder} was answered"


def _doubled(started: Counter[int]) -> Iterator[tuple[str, str]]:
    """Return what happened twice: commands on targets, grants of a request, starts and ends of a grant."""
    from django.db.models import Count

    from broker.audit.models import AuditEntry
    from sessions_app.models import Grant

    yield from (
        ("doubled", f"the command with the tag {tag} ran {count} times")
        for tag, count in started.items()
        if count > 1
    )
    for request, count in (
        Grant.objects.values_list("request__number").annotate(Count("pk")).filter(pk__count__gt=1)
    ):
        yield "doubled", f"REQ-{request} has {count} grants"
    once = ["grant.scheduled", "grant.active", "grant.revoking", "grant.ended"]
    entries = AuditEntry.objects.filter(event__in=once).values_list("event", "object_ref", "body")
    # Cutting a command that an ending grant lets finish, and an end intent, have entries too.
    counted = Counter((event, ref) for event, ref, body in entries if not _further(body))
    yield from (
        ("doubled", f"{ref} has {count} entries {event}")
        for (event, ref), count in counted.items()
        if count > 1
    )


def _further(body: str) -> bool:
    data = json.loads(body)["data"]
    return (data.get("from") == "revoking" and data.get("cut") is True) or "settled_at" in data


def _unrecorded(started: Counter[int]) -> Iterator[tuple[str, str]]:
    """Return what ran without an entry, and the faults of a record that does not verify."""
    from django.db import connection

    from broker.audit.models import AuditEntry
    from broker.audit.verify import verify
    from sessions_app.models import CommandRun, Session

    allowed = " ".join(AuditEntry.objects.filter(event="command.allowed").values_list("body", flat=True))
    lines = " ".join(CommandRun.objects.values_list("line", flat=True))
    for tag in started:
        if str(tag) not in allowed or str(tag) not in lines:
            yield "unrecorded", f"the command with the tag {tag} ran"
    closed = AuditEntry.objects.filter(event="session.closed").count()
    if closed < Session.objects.filter(closed_at__isnull=False).count():
        yield "unrecorded", "closed sessions outnumber their entries"
    verdict = verify(connection=connection)
    if not verdict.ok:
        yield "unrecorded", f"the record does not verify: {verdict}"


def _used_afterwards(lives: list[Life]) -> Iterator[tuple[str, str]]:
    for life in lives:
        if life.after_end:
            yield (
                "used after the end",
                f"{life.holder} ran a command when {life.grant} had ended: {life.after_end!r}",
            )


def unsettled() -> list[str]:
    """Return what has not ended yet, although nothing is used anymore."""
    from broker.audit.models import AuditBacklog
    from broker.kernel import clock
    from sessions_app.models import CommandRun, Grant, Session

    found = [
        f"{grant.ref} is {grant.state}: {grant.last_error}"
        for grant in Grant.objects.exclude(state="ended").filter(expires_at__lt=clock.now())
    ]
    found += [
        f"session {one.pk} of {one.grant.ref} is open"
        for one in Session.objects.filter(closed_at__isnull=True).select_related("grant")
    ]
    unfinished = CommandRun.objects.filter(state__in=["allowed", "running", "held"])
    found += [f"{one.line!r} is {one.state}" for one in unfinished]
    if waiting := AuditBacklog.objects.count():
        found.append(f"{waiting} entries wait for the record")
    return found


def _stuck(people: People, stuck: list[str]) -> Iterator[tuple[str, str]]:
    yield from (("stuck", text) for text in stuck)
    for life in people.lives:
        if people.watch.of(life.tag).there:
            yield "stuck", f"a process of {life.grant} is still on {life.target}"
