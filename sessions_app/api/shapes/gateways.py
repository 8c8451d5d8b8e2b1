"""Gateways."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Shape


class SshGatewayShape(Shape):
    """Where holders connect by ssh."""

    host = serializers.CharField()
    port = serializers.IntegerField()
    host_keys = serializers.ListField(
        child=serializers.CharField(),
        help_text="Algorithm and key of each, as `known_hosts` has them; empty while no gateway has run for a day.",
    )
