"""Identities and their credentials and notifications."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import Identity, Kind, Scope
from broker.kernel import clock
from sessions_app.api.fields import Choice, Moment, Shape, shown_as
from sessions_app.models import Notice
from sessions_app.queries.notifications.notices import outcome_of


class IdentityShape(Shape):
    """A person, a service or an agent."""

    username = serializers.CharField()
    name = serializers.CharField()
    kind = Choice(choices=Kind.values)
    owner = serializers.CharField(
        source="owner.username", allow_null=True, help_text="The person who owns a machine."
    )
    enabled = serializers.BooleanField(source="is_active")
    administrator = serializers.BooleanField(source="is_superuser")
    groups = serializers.SerializerMethodField()
    time_zone = serializers.CharField()
    created_at = Moment()

    def get_groups(self, identity: Identity) -> list[str]:
        """Names of the groups, sorted."""
        return sorted(group.name for group in identity.groups.all())


class MeShape(IdentityShape):
    """The caller."""

    email = serializers.CharField()
    scopes = serializers.SerializerMethodField(
        help_text="The scopes of the token in use; null in a browser session."
    )

    @shown_as({"type": ["array", "null"], "items": {"type": "string", "enum": Scope.values}})
    def get_scopes(self, identity: Identity) -> list[str] | None:
        """Scopes of the caller's token."""
        token = self.context["view"].token
        return token.scopes if token else None


class KeyShape(Shape):
    """A registered SSH public key."""

    id = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]  # shadows DRF's attribute
    algorithm = serializers.CharField()
    fingerprint = serializers.CharField(help_text="As `ssh-keygen -l` shows it: `SHA256:…`.")
    public_key = serializers.CharField()
    created_at = Moment()
    last_used_at = Moment(allow_null=True)


class TokenShape(Shape):
    """An API token, without its value."""

    id = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]  # shadows DRF's attribute
    hint = serializers.CharField(help_text="First characters of the token.")
    scopes = serializers.ListField(child=Choice(choices=Scope.values))
    created_at = Moment()
    expires_at = Moment()
    last_used_at = Moment(allow_null=True)


class FreshTokenShape(TokenShape):
    """A new token with its value, shown once."""

    token = serializers.SerializerMethodField()

    def get_token(self, token: Any) -> str:
        """The token's value, which is stored nowhere."""
        return str(self.context["view"].shown)


class NoticeShape(Shape):
    """A notification."""

    id = serializers.IntegerField()
    event = serializers.CharField()
    subject = serializers.CharField()
    body = serializers.CharField()
    path = serializers.CharField(help_text="The page that the notification links to.")
    count = serializers.IntegerField(
        help_text="The number of events that the notification covers: related events are combined."
    )
    created_at = Moment()
    read_at = Moment(allow_null=True)
    outcome = serializers.SerializerMethodField(
        help_text="The outcome of the requested action; empty while it is open."
    )

    def get_outcome(self, notice: Notice) -> str:
        """Outcome for the object of the notification."""
        return outcome_of(notice, clock.now())
