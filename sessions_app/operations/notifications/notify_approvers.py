"""Notify approvers of items that wait for them, and limit the mail that one person causes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from accounts.models import Identity
from accounts.operations.lock_person import lock_person
from broker.audit.events import Event
from broker.kernel.postgresql.rows import Rows
from broker.kernel.postgresql.writes import insert_all, write
from sessions_app.models import AccessRequest, Asks, CommandRun, Notice
from sessions_app.operations.notifications.notify import Words, said

# Within this time, news about the same request, or further held commands of the same grant, update the
# existing notification.
A_WHILE = dt.timedelta(minutes=10)
# After this many notifications about one person within the period, an approver gets further items as a
# digest.
MOST, PERIOD = 3, dt.timedelta(hours=1)
# How long a digest collects items before it is mailed. Incidents and break-glass access have their own
# digest, which is mailed sooner.
GATHERS, GATHERS_URGENT = dt.timedelta(minutes=15), dt.timedelta(minutes=2)
LISTED = 10
_LONGEST = 4000


# Recent notifications to people about one person.
_RECENT = Rows(
    Notice,
    "sender",
    tail="""
WHERE sessions_app_notice.identity_id = ANY(%s) AND accounts_identity.person = %s
  AND sessions_app_notice.urgent = %s AND sessions_app_notice.created_at > %s
  AND sessions_app_notice.asks IN ('verdict', 'decision', 'digest')
ORDER BY sessions_app_notice.id DESC FOR NO KEY UPDATE OF sessions_app_notice
""",
)


def notify_approvers(
    *,
    people: Iterable[Identity],
    event: Event,
    subject: Words,
    body: Words,
    path: str,
    of: AccessRequest | CommandRun,
    now: dt.datetime,
    again: bool = False,
) -> None:
    """Notify people of a request or a held command, with one notification for each request and one for all
    held commands of a grant.

    News within a short time updates that notification and isn't mailed again, unless it is a reminder
    (``again``). After three notifications within an hour about one person, including their accounts and
    machines, the others become a digest. Call this in the transaction of the action.
    """
    told = {person.pk: person for person in people}
    urgent = (of if isinstance(of, AccessRequest) else of.grant.request).is_urgent
    asker = lock_person(identity=of.requester if isinstance(of, AccessRequest) else of.grant.holder)
    before: dict[int, list[Notice]] = {}
    for notice in _RECENT(list(told), asker.person, urgent, now - PERIOD):
        before.setdefault(notice.identity_id, []).append(notice)
    merging = not again and (isinstance(of, AccessRequest) or _others_wait(of, now))
    new = []
    for pk, person in sorted(told.items()):
        mine = before.get(pk, [])
        fresh = Notice(
            identity_id=pk,
            event=event.value,
            subject=said(subject, person.time_zone)[:200],
            path=path,
            body=said(body, person.time_zone),
            created_at=now,
            next_attempt_at=now,
            sender=asker,
            urgent=urgent,
            **_about(of),
        )
        if merging and (same := _same(mine, fresh, now)):
            _merge(same, fresh)
        elif sum(one.asks != Asks.DIGEST for one in mine) < MOST:
            new.append(fresh)
        elif digest := _gathering(mine):
            _merge(digest, fresh)
        else:
            new.append(_digest(fresh, asker, now))
    insert_all(new)


def _about(of: AccessRequest | CommandRun) -> dict[str, object]:
    if isinstance(of, AccessRequest):
        return {"asks": Asks.VERDICT, "request": of}
    return {"asks": Asks.DECISION, "run": of, "grant": of.grant}


def _others_wait(run: CommandRun, now: dt.datetime) -> bool:
    """Whether other commands of the grant still wait for approvers."""
    return CommandRun.objects.waiting(now).filter(grant=run.grant).exclude(pk=run.pk).exists()


def _same(mine: Sequence[Notice], fresh: Notice, now: dt.datetime) -> Notice | None:
    """Return the recent notification about the same request, or about held commands of the same grant."""
    lately = (one for one in mine if one.asks == fresh.asks and one.created_at > now - A_WHILE)
    return next(
        (one for one in lately if (one.request_id, one.grant_id) == (fresh.request_id, fresh.grant_id)), None
    )


def _gathering(mine: Sequence[Notice]) -> Notice | None:
    """Return the digest that hasn't been mailed yet."""
    waiting = (one for one in mine if one.asks == Asks.DIGEST and one.mailed_at is None and not one.attempts)
    return next((one for one in waiting if one.next_attempt_at is not None), None)


def _digest(fresh: Notice, asker: Identity, now: dt.datetime) -> Notice:
    return Notice(
        identity_id=fresh.identity_id,
        event=fresh.event,
        subject=_more(1, asker),
        body=fresh.subject,
        path="/approvals/",
        asks=Asks.DIGEST,
        sender=asker,
        urgent=fresh.urgent,
        created_at=now,
        next_attempt_at=now + (GATHERS_URGENT if fresh.urgent else GATHERS),
    )


def _merge(kept: Notice, fresh: Notice) -> None:
    """Merge a new notification into an existing one, which becomes unread again."""
    if kept.asks == Asks.VERDICT:
        kept.event, kept.subject, kept.path = fresh.event, fresh.subject, fresh.path
        kept.body = f"{fresh.body}\n\n{kept.body}"[:_LONGEST]
    else:
        kept.body = _listed(kept, fresh.subject)
    kept.count += 1
    if kept.asks == Asks.DIGEST and kept.sender is not None:
        kept.subject = _more(kept.count, kept.sender)
    if kept.asks == Asks.DECISION and fresh.run is not None:
        kept.run = fresh.run
        grant = fresh.run.grant
        kept.subject = f"{grant.holder} is waiting to run {kept.count} commands under {grant.ref}"[:200]
    kept.read_at = None
    write(kept, "event", "subject", "path", "body", "count", "run", "read_at")


def _listed(kept: Notice, line: str) -> str:
    lines = [kept.subject] if kept.asks == Asks.DECISION and kept.count == 1 else kept.body.split("\n")
    return "\n".join([*lines, line][:LISTED])


def _more(count: int, asker: Identity) -> str:
    return f"{count} more {'request' if count == 1 else 'requests'} by {asker}"[:200]
