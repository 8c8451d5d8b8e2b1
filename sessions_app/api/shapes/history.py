"""Versions of the catalog, differences between them, and permissions."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Moment, Shape
from sessions_app.policy.permissions import OVERSEE, RUN


class DocumentVersionShape(Shape):
    """One version of a catalog document."""

    number = serializers.IntegerField()
    at = Moment()
    by = serializers.CharField(
        help_text="Who changed the document: a username, or `system:` and a component of Stint."
    )
    digest = serializers.CharField(
        help_text="SHA-256 of the document in hex; empty if the document was removed."
    )
    document = serializers.DictField(
        allow_null=True, help_text="The document with secrets masked; null if the document was removed."
    )


class HistoryShape(Shape):
    """Every version, newest first."""

    versions = DocumentVersionShape(many=True)


class DifferenceShape(Shape):
    """The differences between two versions."""

    lines = serializers.ListField(child=serializers.CharField(allow_blank=True))


class PermissionShape(Shape):
    """One permission of an identity."""

    identity = serializers.CharField()
    permission = serializers.ChoiceField(
        choices=(*RUN, *OVERSEE),
        help_text="The first four let the identity run commands: as planned access, for an incident, as "
        "break-glass access, or delegated by a holder.",
    )
    type = serializers.CharField(
        help_text="The type of object that gives the permission: `policy`, `cluster` or `stint`."
    )
    name = serializers.CharField(help_text="The kind of object; empty for all of Stint.")
    group = serializers.CharField(
        help_text="The group that gives the permission; empty if the identity has it directly."
    )
    policy = serializers.CharField(help_text="The policy under which commands run; empty if there is none.")
    clusters = serializers.ListField(child=serializers.CharField())
    command_sets = serializers.ListField(
        child=serializers.CharField(),
        help_text="The permission covers the targets of this kind on each cluster; empty if it covers "
        "the clusters themselves.",
    )
    needs = serializers.CharField(
        help_text="The conditions for a request, such as `1 approval from leads, up to 4 h`."
    )


class PermissionsShape(Shape):
    """Everyone's permissions at a point in time."""

    permissions = PermissionShape(many=True)
