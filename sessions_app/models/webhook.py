"""Outgoing webhooks: endpoints and their messages."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Identity


class WebhookScope(models.TextChoices):
    """The events that an endpoint receives."""

    POLICIES = "policies", "Events under policies that name this webhook"
    EVERYTHING = "everything", "All events"


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    """Filters on endpoints."""

    def live(self) -> WebhookEndpointQuerySet:
        """Return endpoints that are not removed."""
        return self.filter(removed_at__isnull=True)

    def visible_to(self, identity: Identity) -> WebhookEndpointQuerySet:
        """Return endpoints that the identity owns, directly or through a group.

        Stint administrators see all of them, machines none.
        """
        if not identity.is_person or identity.is_superuser:
            return self if identity.is_person else self.none()
        groups = Identity.groups.through.objects.filter(identity_id=identity.pk).values("group_id")
        through = WebhookEndpoint.owner_groups.through.objects.filter(group_id__in=groups)
        people = WebhookEndpoint.owner_people.through.objects.filter(identity_id=identity.pk)
        return self.filter(
            Q(pk__in=through.values("webhookendpoint_id")) | Q(pk__in=people.values("webhookendpoint_id"))
        )

    def administered_by(self, identity: Identity) -> WebhookEndpointQuerySet:
        """Return endpoints that the identity can configure: all for Stint administrators, none for others."""
        return self if identity.is_person and identity.is_superuser else self.none()


class WebhookEndpoint(models.Model):
    """A receiver of webhooks.

    ``after`` is the sequence number of the last record entry that was processed for the endpoint.
    """

    name = models.SlugField(max_length=63, unique=True)
    summary = models.CharField(max_length=200, blank=True)
    # The URL can contain a secret, as in chat webhooks. Only the endpoint's owners see it, and it is
    # never logged or recorded.
    url = models.CharField(max_length=500)
    events = models.JSONField(default=list)
    scope = models.CharField(max_length=10, choices=WebhookScope.choices, default=WebhookScope.POLICIES)
    owner_groups = models.ManyToManyField(Group, related_name="+")
    owner_people = models.ManyToManyField(Identity, related_name="+")
    sealed_secret = models.BinaryField(default=b"")
    # Until this time, messages are also signed with the previous key, so that receivers can rotate.
    sealed_previous = models.BinaryField(default=b"")
    previous_until = models.DateTimeField(null=True, blank=True)
    after = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    removed_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=200, blank=True)
    # The time since which deliveries have been failing, and the number of failed attempts.
    failing_since = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    # Only one process at a time sends to an endpoint. After a failure, no process sends to it for a while.
    busy_until = models.DateTimeField(null=True, blank=True)
    rest_until = models.DateTimeField(null=True, blank=True)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name

    @property
    def host(self) -> str:
        """The host of the endpoint's address. The full address can contain a secret."""
        return urlsplit(self.url).hostname or ""


class WebhookState(models.TextChoices):
    """The state of a message."""

    PENDING = "pending", "Pending"
    SENT = "sent", "Delivered"
    FAILED = "failed", "Failed"


class WebhookMessage(models.Model):
    """One event for one endpoint. The row is also the queue. Every attempt sends the same bytes of
    ``payload``.
    """

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="messages")
    # The message id that receivers see, which is the same for every attempt.
    key = models.CharField(max_length=64)
    # The record entry that the message is about; None for a test message.
    entry = models.BigIntegerField(null=True)
    event = models.CharField(max_length=40)
    object_ref = models.CharField(max_length=255, blank=True)
    # The person who needs a decision from approvers, regardless of the account or machine, and whether the
    # decision is about an incident or break-glass access.
    sender = models.ForeignKey(
        Identity, null=True, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    urgent = models.BooleanField(default=False, db_default=False)
    payload = models.TextField()
    state = models.CharField(max_length=8, choices=WebhookState.choices, default=WebhookState.PENDING)
    created_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveIntegerField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    milliseconds = models.PositiveIntegerField(null=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key"], name="webhook_message_key_once"),
            models.UniqueConstraint(
                fields=["endpoint", "entry"], condition=Q(entry__isnull=False), name="webhook_message_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["endpoint", "next_attempt_at"], condition=Q(state="pending"), name="webhook_to_send"
            ),
            models.Index(fields=["endpoint", "-id"], name="webhook_newest"),
            models.Index(fields=["created_at"], name="webhook_oldest"),
        ]

    def __str__(self) -> str:
        return self.key
