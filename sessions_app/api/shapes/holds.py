"""Held commands, the outcomes of decisions on them, and what was read before them."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Choice, Moment, Shape, shown_as
from sessions_app.api.shapes.grants import RunShape
from sessions_app.models import CommandRun
from sessions_app.queries.requests.alike import read_digest

OUTCOMES = ("allowed", "denied", "not_decided")


class HoldShape(RunShape):
    """A held command that waits for your decision."""

    digest = serializers.SerializerMethodField()
    alike = serializers.SerializerMethodField()

    def get_digest(self, run: CommandRun) -> str:
        """The digest of what is shown here, to send with a decision on several commands."""
        return read_digest(run)

    @shown_as({"type": "array", "items": {"type": "integer"}})
    def get_alike(self, run: CommandRun) -> list[int]:
        """The other runs that wait alike: the same rule of the same grant, or the same command under several
        grants of one workflow or cluster.
        """
        alike: dict[int, list[int]] = self.context["view"].alike
        return alike[run.pk]


class HoldOutcomeShape(Shape):
    """Whether one command was decided."""

    run = serializers.IntegerField()
    outcome = Choice(choices=OUTCOMES)
    code = serializers.CharField(help_text="The code of the problem; empty if the command was decided.")
    message = serializers.CharField(help_text="Why it was not decided; empty if it was.")


class HoldOutcomesShape(Shape):
    """The outcome of a decision on several commands, in the order of their runs."""

    decided = serializers.IntegerField(help_text="How many commands were decided.")
    results = HoldOutcomeShape(many=True)


class ValueSourceShape(Shape):
    """An argument of the held command that is a value of an earlier result."""

    argument = serializers.CharField()
    field = serializers.CharField()


class EarlierResultShape(Shape):
    """One earlier result, without its content."""

    run = serializers.IntegerField()
    line = serializers.CharField(help_text="The call, request or statement that returned it.")
    at = Moment()
    untrusted = serializers.BooleanField(help_text="The result can contain text from outsiders.")
    size = serializers.IntegerField(help_text="In bytes.")
    rows = serializers.IntegerField(allow_null=True, help_text="Null unless it is a statement's result.")
    sources = ValueSourceShape(many=True, help_text="The held command's values that came from this result.")


class EarlierResultsShape(Shape):
    """What was read under the grant before a held command, newest first."""

    run = serializers.IntegerField()
    results = EarlierResultShape(many=True, help_text="At most 10.")
    more = serializers.IntegerField(help_text="How many more there are, counted up to 1,000.")
