"""Gateways."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Shape


class SshGatewayShape(Shape):
    """The address to which holders connect with ssh."""

    host = serializers.CharField()
    port = serializers.IntegerField()
    host_keys = serializers.ListField(
        child=serializers.CharField(),
        help_text=(
            "Algorithm and key of each host key, in the format of `known_hosts`; empty if no gateway "
            "has run for a day."
        ),
    )


class WebGatewayShape(Shape):
    """The address of the web gateways, and the certificates that clients trust there."""

    url = serializers.CharField()
    ca = serializers.CharField(
        help_text=(
            "PEM certificates of the authorities that sign the gateways' certificates, two during a "
            "rotation; empty if the administrator provides the gateways' certificates, or if no "
            "gateway has run for a day."
        ),
    )
    fingerprints = serializers.ListField(
        child=serializers.CharField(),
        help_text=(
            "SHA-256 of each of those certificates, or of the gateways' own; empty if no gateway has "
            "run for a day."
        ),
    )
