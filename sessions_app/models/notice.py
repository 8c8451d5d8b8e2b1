"""Notifications, in the app and by mail."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q, Value
from django.db.models.functions import Concat, Now

from accounts.models import Identity
from sessions_app.models.grant import Grant, GrantState
from sessions_app.models.request import AccessRequest, Approval, Comment, RequestState
from sessions_app.models.session import CommandRun, waits
from sessions_app.models.workflow import Workflow


class Asks(models.TextChoices):
    """What a notification asks of its reader, or how long it concerns them."""

    NOTHING = "", "nothing"
    VERDICT = "verdict", "a verdict on its request"
    ANSWER = "answer", "an answer in the thread of its request"
    DECISION = "decision", "a decision on its held command"
    RELEASE = "release", "to let its held grant go on"
    REVIEW = "review", "a review of its grant"
    AGAIN = "again", "to ask again, as its request was not approved"
    TIME = "time", "to extend its grant, or to finish"
    LIVE = "live", "to know of its grant while it lasts"


# A notice of an end that is near stands for ends within this time.
NEAR_END = dt.timedelta(minutes=16)


class NoticeQuerySet(models.QuerySet["Notice"]):
    """Filters on notices."""

    def to_mail(self) -> NoticeQuerySet:
        """Those still to be mailed, now or later."""
        return self.filter(mailed_at__isnull=True, next_attempt_at__isnull=False)

    def unsettled(self, now: dt.datetime) -> NoticeQuerySet:
        """Those that ask nothing, and those whose reader can still do what they ask: it follows from the rows themselves."""
        mine = {"request": OuterRef("request"), "voided_at": None, "approver": OuterRef("identity")}
        said = Comment.objects.filter(
            request=OuterRef("request"), author=OuterRef("identity"), created_at__gt=OuterRef("created_at")
        )
        refused = AccessRequest.objects.filter(pk=OuterRef("request"))
        pending = Q(request__state=RequestState.PENDING, request__lapses_at__gt=now)
        live = Q(grant__state=GrantState.ACTIVE, grant__expires_at__gt=now)
        return self.filter(
            Q(asks=Asks.NOTHING)
            | Q(pending, ~Exists(Approval.objects.filter(**mine)), asks=Asks.VERDICT)
            | Q(pending, ~Exists(said), asks=Asks.ANSWER)
            | Q(waits(now, "run__"), asks=Asks.DECISION)
            | Q(live, asks=Asks.RELEASE, grant__held_at__isnull=False)
            | Q(asks=Asks.REVIEW, grant__reviewed_at=None)
            | Q(Exists(refused.not_asked_again()), asks=Asks.AGAIN)
            | Q(live, asks=Asks.TIME, grant__expires_at__lte=F("created_at") + NEAR_END)
            | Q(~Q(grant__state=GrantState.ENDED), asks=Asks.LIVE)
        )

    def visible_to(self, identity: Identity) -> NoticeQuerySet:
        """The identity's own. With a token that is bound to a workflow: only those about it and its requests."""
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
    """One notification to one person. The row is the queue of its mail.

    What it ``asks``, of which ``request``, ``run`` or ``grant``, says whether it still concerns its reader (``unsettled``).
    """

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="notices")
    event = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    path = models.CharField(max_length=200)
    asks = models.CharField(max_length=8, choices=Asks.choices, blank=True, default="", db_default="")
    # No constraints in the database: checking one would lock the row after the record, which others do the other way round.
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
    also_to = models.EmailField("also mailed to", blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now(), null=True, blank=True)
    # Why the last attempt to mail it failed, and when the last one of all did.
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
            models.Index(fields=["identity", "-id"], condition=Q(read_at__isnull=True), name="notice_unread"),
        ]

    def __str__(self) -> str:
        return self.subject
