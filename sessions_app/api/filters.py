"""What lists can be narrowed by."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import Kind
from sessions_app.api.fields import Choice, EventName, Flag, Moment, Name, Query, Text, Username, Whole
from sessions_app.models import GrantState, RequestKind, RequestState, RunState, WorkflowKind, WorkflowState

_CURSOR = "Where to go on: take it from the `next` of the page before."


class ByNumber(Query):
    """Pages of things that are listed by number, the newest first."""

    cursor = Whole(required=False, min_value=0, help_text=_CURSOR)
    page_size = Whole(default=50, min_value=1, max_value=200)


class ByName(Query):
    """Pages of things that are listed by name."""

    cursor = serializers.CharField(required=False, max_length=100, help_text=_CURSOR)
    page_size = Whole(default=50, min_value=1, max_value=200)


class OfNotices(ByNumber):
    """Which notices."""

    unread = Flag(default=False, help_text="Only those that were not read.")


class OfRequests(ByNumber):
    """Which requests."""

    state = Choice(required=False, choices=RequestState.values)
    kind = Choice(required=False, choices=RequestKind.values)
    cluster = Name(required=False)
    requester = Username(required=False)
    mine = Flag(default=False, help_text="Only those that you made.")
    decidable = Flag(default=False, help_text="Only those that wait for a verdict that you may give.")


class OfGrants(ByNumber):
    """Which grants."""

    state = Choice(required=False, choices=GrantState.values)
    cluster = Name(required=False)
    holder = Username(required=False)
    mine = Flag(default=False, help_text="Only those that you hold.")
    endable = Flag(default=False, help_text="Only those that you may end and that are not over.")


class OfWorkflows(ByNumber):
    """Which work."""

    state = Choice(required=False, choices=WorkflowState.values)
    kind = Choice(required=False, choices=WorkflowKind.values)


class OfRuns(ByNumber):
    """Which command runs."""

    state = Choice(required=False, choices=RunState.values)


class OfOutput(Query):
    """From where on."""

    cursor = Whole(default=0, min_value=0, help_text=_CURSOR)


class OfSearch(Query):
    """What to look for."""

    q = Text(
        default="",
        allow_blank=True,
        max_length=100,
        help_text="Some letters of a name or ticket, or a reference like `GR-7F3K`.",
    )


class OfDifference(Query):
    """Which two versions."""

    since_version = Whole(
        required=False, min_value=0, help_text="The older one; 0: nothing. Left out: the one before."
    )
    to_version = Whole(required=False, min_value=1, help_text="The newer one. Left out: the newest.")


class OfRights(Query):
    """At which moment."""

    at = Moment(required=False, help_text="Now, where it is left out.")


class OfIdentities(ByName):
    """Which identities."""

    kind = Choice(required=False, choices=Kind.values)
    enabled = Flag(required=False)


class OfRecord(ByNumber):
    """Which entries of the record."""

    object = Text(
        required=False, max_length=200, help_text="What was acted on, as people name it: `GR-7F3K`."
    )
    actor = Text(required=False, max_length=120, help_text="The user name, or `system:` and a part of Stint.")
    event = EventName(required=False)
    since = Moment(required=False, help_text="From then on.")
    until = Moment(required=False, help_text="Before then.")
