"""Webhooks and the messages sent to them."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Choice, Moment, Shape
from sessions_app.models import WebhookEndpoint, WebhookScope, WebhookState


class WebhookShape(Shape):
    """A webhook endpoint. Its address can contain a secret, so only the host is returned."""

    name = serializers.CharField()
    summary = serializers.CharField()
    host = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    scope = Choice(choices=WebhookScope.values)
    paused_at = Moment(allow_null=True)
    pause_reason = serializers.CharField()
    failing_since = Moment(allow_null=True, help_text="When deliveries started to fail.")
    sent_at = Moment(allow_null=True, help_text="When a message was last delivered.")
    both_until = Moment(
        source="previous_until",
        allow_null=True,
        help_text="Until when messages are also signed with the previous secret.",
    )


class WebhookMessageShape(Shape):
    """One message. `key` is the `webhook-id`, the same for each attempt."""

    id = serializers.IntegerField()
    key = serializers.CharField()
    event = serializers.CharField()
    object = serializers.CharField(source="object_ref")
    state = Choice(choices=WebhookState.values)
    created_at = Moment()
    attempts = serializers.IntegerField()
    next_attempt_at = Moment(allow_null=True)
    sent_at = Moment(allow_null=True)
    last_status = serializers.IntegerField(allow_null=True)
    last_error = serializers.CharField()
    milliseconds = serializers.IntegerField(allow_null=True)


class FreshSecretShape(WebhookShape):
    """A webhook with its new secret, shown once."""

    secret = serializers.SerializerMethodField()

    def get_secret(self, _endpoint: WebhookEndpoint) -> str:
        """The secret, which is not shown again."""
        return str(self.context["view"].shown)


class ReplayedShape(Shape):
    """The number of replayed messages."""

    count = serializers.IntegerField()
