"""Request bodies of decisions on held commands."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from sessions_app.api.fields import Body, Digest, Flag, Whole
from sessions_app.operations.sessions.decide_holds import MOST


class HoldDecision(Body):
    """Whether the held command may run."""

    allow = Flag()
    for_grant = Flag(default=False, help_text="Allow the same tool call for the rest of the grant.")
    times = serializers.IntegerField(default=1, min_value=1, max_value=50, help_text="How often it may run.")


class HoldRead(Body):
    """A held command as you read it."""

    run = Whole(min_value=1, max_value=2**63 - 1)
    digest = Digest(help_text="The `digest` of the command from the list of holds.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Example",
            value={
                "allow": True,
                "holds": [{"run": 17, "digest": "0" * 64}, {"run": 18, "digest": "1" * 64}],
            },
            request_only=True,
        )
    ]
)
class HoldDecisions(HoldDecision):
    """Whether several held commands may run, each as it was read."""

    holds = serializers.ListField(child=HoldRead(), min_length=1, max_length=MOST)

    def validate_holds(self, holds: list[dict[str, object]]) -> list[dict[str, object]]:
        """Refuse a command that is listed twice."""
        if len({hold["run"] for hold in holds}) < len(holds):
            raise serializers.ValidationError("List each run once.", code="repeated")
        return holds
