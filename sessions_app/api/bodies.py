"""Request bodies. Their examples are part of the published OpenAPI description.

A time in an example is relative to when the description is read, so that a copied example is valid.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as Unfit
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from accounts.models import Kind, Scope
from broker.kernel.zones import time_zones
from sessions_app.api.fields import (
    Body,
    Choice,
    Digest,
    Duration,
    Flag,
    Moment,
    Name,
    Names,
    Text,
    Username,
    Whole,
    WorkflowRef,
)
from sessions_app.models import RequestKind, Severity, Verdict, WorkflowKind
from sessions_app.operations.requests.request_access import MAX_TEXT
from sessions_app.operations.workflows.open_workflow import PREFIX

_LARGEST = 2**31 - 1
# In characters. This leaves room for the rest of the body.
LONGEST_FILE = 200_000


def _example(value: dict[str, Any], name: str = "Example") -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


class Nothing(Body):
    """A body without fields."""


@extend_schema_serializer(
    examples=[_example({"public_key": "ssh-ed25519 AAAAC3Nz… alice@laptop", "label": "laptop"})]
)
class NewKey(Body):
    """One line of a .pub file."""

    public_key = Text(max_length=16384)
    label = Text(default="", allow_blank=True, max_length=100)  # type: ignore[assignment]  # shadows DRF's attribute


@extend_schema_serializer(examples=[_example({"time_zone": "Europe/Berlin"})])
class NewTimeZone(Body):
    """An IANA time zone."""

    time_zone = Text(max_length=64)


class NewPassword(Body):
    """The current and the new password."""

    current = Text(max_length=256, write_only=True)
    new = Text(max_length=256, write_only=True)


@extend_schema_serializer(
    examples=[_example({"label": "nightly", "scopes": ["read", "request"], "lifetime": "30d"})]
)
class NewToken(Body):
    """A token to create, valid for at most 90 days."""

    label = Text(max_length=100)  # type: ignore[assignment]  # shadows DRF's attribute
    scopes = serializers.ListField(
        child=Choice(choices=Scope.values), min_length=1, max_length=len(Scope.values)
    )
    lifetime = Duration(default=30 * 86400)


_DRAFT = """name: restart-web
kind: ssh
summary: Restart one web service
risk: medium
parameters:
  unit: {choice: [nginx, haproxy]}
commands:
  - run: systemctl restart {unit}
    effect: change
"""


@extend_schema_serializer(examples=[_example({"source": _DRAFT})])
class Draft(Body):
    """A command set as YAML; see /schemas/command-sets.json."""

    source = Text(max_length=LONGEST_FILE)  # type: ignore[assignment]  # shadows DRF's attribute


class Acceptance(Body):
    """A reason for each accepted linter warning, by `code where`. Approvers see the reasons."""

    accepted = serializers.DictField(child=Text(max_length=500), default=dict)


@extend_schema_serializer(
    examples=[_example({"line": "systemctl restart nginx", "parameters": {"unit": "nginx"}})]
)
class Try(Body):
    """A command line to test. By default, it is tested with any parameters, in the published version."""

    line = Text(allow_blank=True, max_length=16384)
    parameters = serializers.DictField(
        child=Text(allow_blank=True, max_length=4096), allow_null=True, default=None
    )
    version = Whole(allow_null=True, default=None, min_value=1, max_value=_LARGEST)


@extend_schema_serializer(
    examples=[
        _example({"files": {"groups/operators.yaml": "name: operators\nmembers: [alice]\n"}, "prune": False})
    ]
)
class Files(Body):
    """Catalog files by path; see /schemas/. `prune` removes objects that no file defines."""

    files = serializers.DictField(child=Text(allow_blank=True, max_length=LONGEST_FILE))
    prune = Flag(default=False)


@extend_schema_serializer(
    examples=[
        _example(
            {
                "cluster": "web",
                "command_set": "restart-web",
                "duration": "1h30m",
                "reason": "Nightly restart",
                "parameters": {"unit": "nginx"},
            }
        )
    ]
)
class NewRequest(Body):
    """A request. Without `starts_at`, access starts on approval; without `targets`, it covers all targets of
    the cluster.

    `workflow` is the open workflow that the access is for; access ends when the workflow closes. Requests of
    the kind `incident` need an incident.
    """

    cluster = Name()
    command_set = Name()
    policy = Name(allow_null=True, default=None)
    duration = Duration()
    starts_at = Moment(allow_null=True, default=None)
    reason = Text(default="", allow_blank=True, max_length=MAX_TEXT)
    ticket = Text(default="", allow_blank=True, max_length=200)
    parameters = serializers.DictField(child=Text(allow_blank=True, max_length=4096), default=dict)
    targets = Names(allow_null=True, default=None)
    kind = Choice(
        choices=[
            kind.value for kind in RequestKind if kind not in (RequestKind.EXTENSION, RequestKind.DELEGATION)
        ],
        default=RequestKind.PLANNED.value,
    )
    workflow = WorkflowRef(allow_null=True, default=None)


@extend_schema_serializer(examples=[_example({"target": "web-1", "line": "systemctl restart nginx"})])
class Wanted(Body):
    """Filters: the cluster, the target, and a command that should be allowed."""

    cluster = Name(allow_null=True, default=None)
    target = Name(allow_null=True, default=None)
    line = Text(allow_null=True, default=None, max_length=16384)


@extend_schema_serializer(
    examples=[
        _example({"title": "Checkout is slow", "severity": "P2", "clusters": ["web"]}, "An incident"),
        _example(
            {
                "kind": "change",
                "title": "New kernel",
                "clusters": ["web"],
                "starts_at": dt.timedelta(days=7),
                "ends_at": dt.timedelta(days=7, hours=2),
                "assignee": "alice",
            },
            "A change",
        ),
    ]
)
class NewWorkflow(Body):
    """A workflow to open, on clusters that you can see. An incident has a severity, a change a planned start
    and end; a change, a ticket or a task can have an assignee.
    """

    kind = Choice(choices=[kind.value for kind in PREFIX], default=WorkflowKind.INCIDENT.value)
    title = Text(max_length=200)
    severity = Choice(choices=Severity.values, allow_blank=True, default="")
    clusters = Names(min_length=1)
    starts_at = Moment(allow_null=True, default=None)
    ends_at = Moment(allow_null=True, default=None)
    assignee = Text(default="", allow_blank=True, max_length=100)


class CloseWorkflow(Body):
    """The resolution of the workflow."""

    note = Text(default="", allow_blank=True, max_length=MAX_TEXT)


class Narrowing(Body):
    """The part of a request that an approval keeps: a shorter time, fewer commands (by index), fewer
    targets (by name).
    """

    duration = Duration(allow_null=True, default=None)
    commands = serializers.ListField(
        child=Whole(min_value=0, max_value=_LARGEST), allow_null=True, default=None, max_length=1000
    )
    targets = Names(allow_null=True, default=None)


@extend_schema_serializer(
    examples=[
        _example(
            {"verdict": "approve", "digest": "0" * 64, "narrowing": {"duration": "30m"}},
            "Approve for less time",
        ),
        _example({"verdict": "deny", "digest": "0" * 64, "comment": "Wait for the freeze to end."}, "Deny"),
    ]
)
class NewVerdict(Body):
    """A verdict on exactly the request that was read, as identified by `digest`.

    A comment is required to deny a request.
    """

    verdict = Choice(choices=Verdict.values)
    digest = Digest()
    comment = Text(default="", allow_blank=True, max_length=MAX_TEXT)
    narrowing = Narrowing(allow_null=True, default=None)


@extend_schema_serializer(examples=[_example({"comment": "Two approvals must stay."})])
class Refusal(Body):
    """The reason why a proposal is denied. Its proposer sees it."""

    comment = Text(default="", allow_blank=True, max_length=MAX_TEXT)


@extend_schema_serializer(examples=[_example({"note": "Work is done.", "kill": False})])
class End(Body):
    """The reason for the end, and whether to cut commands that could otherwise finish."""

    note = Text(default="", allow_blank=True, max_length=MAX_TEXT)
    kill = Flag(default=False)


@extend_schema_serializer(examples=[_example({"note": "Wrong host."})])
class Reason(Body):
    """The reason. The people concerned see it, and it is recorded."""

    note = Text(default="", allow_blank=True, max_length=MAX_TEXT)


@extend_schema_serializer(examples=[_example({"target": "db-1"})])
class NewCredential(Body):
    """The target, if the grant has several."""

    target = Text(allow_null=True, default=None, max_length=63)
    jkt = Text(
        default="",
        allow_blank=True,
        max_length=43,
        help_text="Over HTTP: the thumbprint (RFC 7638) of the key that signs the proofs (RFC 9449).",
    )


@extend_schema_serializer(examples=[_example({"duration": "30m", "reason": "The restore is taking longer."})])
class Extend(Body):
    """The additional time, and the reason."""

    duration = Duration()
    reason = Text(default="", allow_blank=True, max_length=MAX_TEXT)


@extend_schema_serializer(
    examples=[
        _example(
            {
                "identity": "robot",
                "command_set": "restart-web",
                "parameters": {"unit": "nginx"},
                "duration": "15m",
            }
        )
    ]
)
class Delegate(Body):
    """The delegate, and the part of the grant to delegate. Without `targets` and `duration`, the delegated
    grant covers all targets, until the end of the grant.
    """

    identity = Username()
    command_set = Name()
    parameters = serializers.DictField(child=Text(allow_blank=True, max_length=4096), default=dict)
    targets = Names(allow_null=True, default=None)
    duration = Duration(allow_null=True, default=None)
    reason = Text(default="", allow_blank=True, max_length=MAX_TEXT)


class Review(Body):
    """The findings of the review."""

    note = Text(max_length=MAX_TEXT)


@extend_schema_serializer(
    examples=[
        _example(
            {"username": "robot", "kind": "agent", "name": "Night robot", "owner": "alice"}, "A machine"
        ),
        _example(
            {"username": "erin", "kind": "person", "name": "Erin", "email": "erin@example.com"}, "A person"
        ),
    ]
)
class NewIdentity(Body):
    """An identity to create. Services and agents have an owner and no password; a person replaces the initial
    password at the first sign-in.
    """

    username = Text(max_length=100)
    kind = Choice(choices=Kind.values)
    name = Text(default="", allow_blank=True, max_length=200)
    email = serializers.EmailField(default="", allow_blank=True, max_length=254)
    owner = Username(allow_null=True, default=None)
    password = Text(allow_null=True, default=None, max_length=256, write_only=True)
    groups = Names(default=list)
    administrator = Flag(default=False)
    time_zone = Text(default="UTC", max_length=64)

    def validate_time_zone(self, value: str) -> str:
        """Reject an unknown time zone, because pages could not be rendered with it."""
        if value not in time_zones():
            raise serializers.ValidationError("Use an IANA time zone, such as Europe/Berlin.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Reject a password for a machine, because machines authenticate only with keys and tokens, and a
        guessable password for a person.
        """
        machine = attrs["kind"] != Kind.PERSON
        if machine and (attrs["password"] is not None or attrs["administrator"]):
            raise serializers.ValidationError(
                {"kind": ["Machines can't have a password or be administrators."]}
            )
        if attrs["password"] is not None:
            try:
                validate_password(attrs["password"])
            except Unfit as error:
                raise serializers.ValidationError({"password": error.messages}) from error
        return attrs


@extend_schema_serializer(examples=[_example({"since": dt.timedelta(days=-1)})])
class Replay(Body):
    """The messages to replay: one `message` by number, or all events `since` a time in the last 30 days."""

    message = Whole(allow_null=True, default=None, min_value=1, max_value=2**62)
    since = Moment(allow_null=True, default=None)


@extend_schema_serializer(examples=[_example({"overlap": "24h"})])
class Rotation(Body):
    """How long messages are also signed with the previous secret: at most 7 days, or `now` to retire it."""

    overlap = Duration(default=86400)
    now = Flag(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Set the overlap to zero if ``now`` is set."""
        return {"overlap": 0 if attrs["now"] else attrs["overlap"]}
