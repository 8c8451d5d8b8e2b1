"""Limit how many commands can wait for approval."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db.models import Q

from accounts.models import Identity
from accounts.operations.lock_person import lock_person
from accounts.queries import same_person
from sessions_app.models import CommandRun, Grant
from sessions_app.models.request import URGENT_KINDS


def limit_holds(*, grant: Grant, now: dt.datetime) -> str:
    """Return why no other command of a locked grant can wait for approval now; empty if one can.

    There is one limit for each grant, and one for all accounts and machines of its holder. Urgent grants
    (`AccessRequest.is_urgent`) are counted separately. Call this in the transaction that saves the run.
    """
    waiting = CommandRun.objects.waiting(now)
    if waiting.filter(grant=grant).count() >= settings.WAITING_COMMANDS_PER_GRANT:
        return _why(settings.WAITING_COMMANDS_PER_GRANT, f"under {grant.ref} wait", "Withdraw one")
    lock_person(identity=grant.holder)
    theirs = Identity.objects.filter(same_person(grant.holder))
    urgent = Q(grant__request__kind__in=URGENT_KINDS)
    alike = waiting.filter(urgent if grant.request.is_urgent else ~urgent, grant__holder__in=theirs)
    if alike.count() >= settings.WAITING_COMMANDS_PER_PERSON:
        return _why(settings.WAITING_COMMANDS_PER_PERSON, "from you and your machines wait", "Withdraw some")
    return ""


def _why(most: int, whose: str, do: str) -> str:
    return f"{most} commands {whose} for approval, which is the limit. {do}, or wait until they are decided."
