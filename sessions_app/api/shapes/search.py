"""Results of a search."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers

from sessions_app.api.fields import Choice, Shape


class HitShape(Shape):
    """One result."""

    KINDS: ClassVar[dict[str, str]] = {
        "Cluster": "cluster",
        "CommandSet": "command_set",
        "AccessPolicy": "policy",
    }

    kind = Choice(choices=["request", "grant", "workflow", "identity", "command", "run", *KINDS.values()])
    name = serializers.CharField(help_text="Reference or name, such as `GR-7F3K`, `CHG-7`, `web-eu`.")
    about = serializers.CharField(help_text="May be empty.")


class FoundShape(Shape):
    """The results."""

    results = HitShape(many=True)
