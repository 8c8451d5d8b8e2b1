"""Versions of the catalog, differences between them, and rights."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Moment, Shape


class DocumentVersionShape(Shape):
    """One version of a catalog document."""

    number = serializers.IntegerField()
    at = Moment()
    by = serializers.CharField(help_text="Who changed it: a username, or `system:` and a component of Stint.")
    digest = serializers.CharField(help_text="SHA-256 of the document in hex; empty if it was removed.")
    document = serializers.DictField(
        allow_null=True, help_text="The document with secrets masked; null if it was removed."
    )


class HistoryShape(Shape):
    """Every version, newest first."""

    versions = DocumentVersionShape(many=True)


class DifferenceShape(Shape):
    """What changed."""

    lines = serializers.ListField(child=serializers.CharField(allow_blank=True))


class RightShape(Shape):
    """One right of an identity."""

    identity = serializers.CharField()
    right = serializers.CharField()
    type = serializers.CharField()
    name = serializers.CharField(help_text="Empty: all of Stint.")
    group = serializers.CharField(help_text="The group that gives the right; empty: the identity itself.")


class RightsShape(Shape):
    """Everyone's rights at a point in time."""

    rights = RightShape(many=True)
