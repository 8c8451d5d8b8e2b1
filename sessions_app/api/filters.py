"""Query parameters that filter lists."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import Kind
from sessions_app.api.fields import Choice, EventName, Flag, Moment, Name, Query, Text, Username, Whole
from sessions_app.models import GrantState, RequestKind, RequestState, RunState, WorkflowKind, WorkflowState

_CURSOR = "Cursor from `next` of the previous page."


class ByNumber(Query):
    """Pagination of lists that are sorted by number, newest first."""

    cursor = Whole(required=False, min_value=0, help_text=_CURSOR)
    page_size = Whole(default=50, min_value=1, max_value=200)


class ByName(Query):
    """Pagination of lists that are sorted by name."""

    cursor = serializers.CharField(required=False, max_length=100, help_text=_CURSOR)
    page_size = Whole(default=50, min_value=1, max_value=200)


class OfNotices(ByNumber):
    """Filters for notifications."""

    unread = Flag(default=False, help_text="Only unread notifications.")


class OfRequests(ByNumber):
    """Filters for requests."""

    state = Choice(required=False, choices=RequestState.values)
    kind = Choice(required=False, choices=RequestKind.values)
    cluster = Name(required=False)
    requester = Username(required=False)
    mine = Flag(default=False, help_text="Only your own requests.")
    decidable = Flag(default=False, help_text="Only requests you can decide.")


class OfGrants(ByNumber):
    """Filters for grants."""

    state = Choice(required=False, choices=GrantState.values)
    cluster = Name(required=False)
    holder = Username(required=False)
    mine = Flag(default=False, help_text="Only grants you hold.")
    endable = Flag(default=False, help_text="Only active grants that you can end.")


class OfWorkflows(ByNumber):
    """Filters for workflows."""

    state = Choice(required=False, choices=WorkflowState.values)
    kind = Choice(required=False, choices=WorkflowKind.values)


class OfRuns(ByNumber):
    """Filters for command runs."""

    state = Choice(required=False, choices=RunState.values)


class OfOutput(Query):
    """The position to read output from."""

    cursor = Whole(default=0, min_value=0, help_text=_CURSOR)


class OfSearch(Query):
    """The search text."""

    q = Text(
        default="",
        allow_blank=True,
        max_length=100,
        help_text="Part of a name or ticket, or a reference like `GR-7F3K`.",
    )


class OfDifference(Query):
    """The two versions to compare."""

    since_version = Whole(
        required=False,
        min_value=0,
        help_text="The older version; 0 is the empty document. Default: the version before the newer one.",
    )
    to_version = Whole(
        required=False, min_value=1, help_text="The newer version. Default: the latest version."
    )


class OfRights(Query):
    """The time to list permissions for."""

    at = Moment(required=False, help_text="Default: now.")


class OfIdentities(ByName):
    """Filters for identities."""

    kind = Choice(required=False, choices=Kind.values)
    enabled = Flag(required=False)


class OfRecord(ByNumber):
    """Filters for entries of the record."""

    object = Text(required=False, max_length=200, help_text="Reference of the object, such as `GR-7F3K`.")
    actor = Text(required=False, max_length=120, help_text="Username, or `system:` and a component of Stint.")
    event = EventName(required=False)
    since = Moment(required=False, help_text="From this time, inclusive.")
    until = Moment(required=False, help_text="Before this time.")
