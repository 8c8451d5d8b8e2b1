"""Notifications, in the app and by email."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Concat, Now

from accounts.models import Identity
from sessions_app.models.grant import Grant
from sessions_app.models.request import AccessRequest
from sessions_app.models.session import CommandRun
from sessions_app.models.workflow import Workflow


class Asks(models.TextChoices):
    """The action that a notification asks for, or the time for which it is relevant to its reader."""

    NOTHING = "", "nothing"
    VERDICT = "verdict", "a verdict on its request"
    ANSWER = "answer", "an answer in the thread of its request"
    DECISION = "decision", "a decision on its held command"
    RELEASE = "release", "to resume its suspended grant"
    REVIEW = "review", "a review of its grant"
    AGAIN = "again", "to submit a new request, because its request was not approved"
    TIME = "time", "to extend its grant, or to finish"
    LIVE = "live", "to know about its grant while it lasts"
    DIGEST = "digest", "decisions on what its sender waits for"


# A notification that access ends soon is for ends within this time.
NEAR_END = dt.timedelta(minutes=16)


class NoticeQuerySet(models.QuerySet["Notice"]):
    """Filters on notifications."""

    def to_mail(self) -> NoticeQuerySet:
        """Return notifications that still have to be mailed, now or later."""
        return self.filter(mailed_at__isnull=True, next_attempt_at__isnull=False)

    def visible_to(self, identity: Identity) -> NoticeQuerySet:
        """Return the identity's own notifications.

        With a token that is bound to a workflow, only notifications about that workflow, its requests and its
        grants.
        """
        own = self.filter(identity=identity)
        if not identity.bound_to:
            return own
        told = (
            ("/requests/REQ-", "number", AccessRequest.objects.visible_to(identity)),
            ("/grants/", "ref", Grant.objects.visible_to(identity)),
            ("/workflows/", "ref", Workflow.objects.visible_to(identity)),
        )
        page = Func(F("path"), Value("#"), Value(1), function="SPLIT_PART", output_field=models.CharField())
        mine = Q(pk__in=[])
        for place, name, rows in told:
            path = Concat(Value(place), name, Value("/"), output_field=models.CharField())
            mine |= Q(page__in=rows.values_list(path))
        return own.alias(page=page).filter(mine)


class Notice(models.Model):
    """One notification to one person. The row is also the mail queue.

    ``asks``, with ``request``, ``run`` or ``grant``, determines whether the notification is still relevant to
    its reader (``queries.notifications.notices``). ``sender`` is the person who needs a decision from an
    approver, regardless of the account or machine. ``urgent`` means that the notification is about an
    incident or break-glass access. ``count`` is the number of separate notifications that this one replaces
    (``notify_approvers``); ``run`` is that of the newest one.
    """

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="notices")
    event = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    path = models.CharField(max_length=200)
    asks = models.CharField(max_length=8, choices=Asks.choices, blank=True, default="", db_default="")
    # No database constraints, because checking them would lock the row after the record, and other
    # transactions lock them in the opposite order.
    request = models.ForeignKey(
        AccessRequest,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    run = models.ForeignKey(
        CommandRun,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    grant = models.ForeignKey(
        Grant,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    sender = models.ForeignKey(
        Identity,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    urgent = models.BooleanField(default=False, db_default=False)
    count = models.PositiveIntegerField(default=1, db_default=1)
    also_to = models.EmailField("also mailed to", blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now(), null=True, blank=True)
    # Why the last attempt to mail the notification failed, and when the final attempt failed.
    last_error = models.TextField(blank=True, default="", db_default="")
    given_up_at = models.DateTimeField(null=True, blank=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(mailed_at__isnull=True, next_attempt_at__isnull=False),
                name="notice_to_mail",
            ),
            models.Index(
                fields=["identity", "given_up_at"],
                condition=Q(given_up_at__isnull=False),
                name="notice_given_up",
            ),
            models.Index(fields=["identity", "-id"], name="notice_of_identity"),
            models.Index(
                fields=["identity", "-created_at"], condition=Q(sender__isnull=False), name="notice_of_sender"
            ),
            models.Index(fields=["identity", "-id"], condition=Q(read_at__isnull=True), name="notice_unread"),
            # For the deletion of the object that a notification is about.
            models.Index(fields=["request"], condition=Q(request__isnull=False), name="notice_of_request"),
            models.Index(fields=["run"], condition=Q(run__isnull=False), name="notice_of_run"),
            models.Index(fields=["grant"], condition=Q(grant__isnull=False), name="notice_of_grant"),
        ]

    def __str__(self) -> str:
        return self.subject
