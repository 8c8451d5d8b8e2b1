"""The document of an access policy, as in its YAML file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sessions_app.policy.commands.patterns import compile_pattern
from sessions_app.policy.durations import Duration
from sessions_app.policy.notifying import Notify, Step
from sessions_app.policy.policy_part import Name, PolicyPart
from sessions_app.policy.windows import Freeze, Window

# Seconds after which a workflow that could not be read counts as closed, if the policy sets no other limit.
STALENESS = 900
# The maximum number of seconds until access that began without approval must be reviewed.
LATEST_REVIEW = 86400
Person = Annotated[str, Field(min_length=1, max_length=100)]
_Review = Annotated[
    Duration, Field(le=LATEST_REVIEW, description="How soon someone else must review the access, at most 24h")
]


def _is_unset(value: object) -> bool:
    return value in (None, ())


def _pattern(text: str) -> str:
    compile_pattern(text)
    return text


class Who(PolicyPart):
    """Groups and identities, by name. At least one is required."""

    groups: tuple[Name, ...] = Field(default=(), description="Names of groups", examples=[["engineers"]])
    identities: tuple[Person, ...] = Field(default=(), description="Identities", examples=[["deploy"]])

    @model_validator(mode="after")
    def _not_empty(self) -> Who:
        if not self.groups and not self.identities:
            raise ValueError("name at least one group or identity; an empty list means no one")
        return self


class Clause(PolicyPart):
    """Approvals by different people in these groups."""

    count: int = Field(ge=1, le=10, description="How many people must approve")
    groups: tuple[Name, ...] = Field(
        alias="from", min_length=1, description="Groups whose members can approve", examples=[["leads"]]
    )


class Extension(PolicyPart):
    """How many times a grant can be extended, and by how much each time."""

    times: int = Field(ge=1, le=10, description="How many times a grant can be extended")
    by: Duration = Field(description="The longest extension")
    approvals: Literal["none", "same"] = Field(
        default="same", description="Whether an extension needs the policy's approvals"
    )


class BreakGlass(PolicyPart):
    """Who can start immediately with a reason, and how soon someone else must review the access."""

    groups: tuple[Name, ...] = Field(
        min_length=1, description="Groups whose members can start this access", examples=[["sre"]]
    )
    max_duration: Duration = Field(description="The maximum duration of this access")
    review_within: _Review = LATEST_REVIEW


class Incident(PolicyPart):
    """Who can start immediately while an incident is open on the cluster. The access ends with the incident.

    ``own`` applies to people who opened the incident themselves or were the last to change its severity,
    urgency or assignee. It also applies to incidents for which this is unknown. With ``review``, these people
    need a reason, and another person must review the access within ``review_within``, as for break-glass
    access. With ``forbid``, they get no access. Machines never get access for such incidents.
    """

    on_call: tuple[Name, ...] = Field(
        min_length=1, description="Groups whose members can start this access", examples=[["sre"]]
    )
    max_duration: Duration = Field(default=7200, description="The maximum duration of this access")
    approvals: Literal["none", "same"] = Field(
        default="none", description="Whether the access needs the policy's approvals"
    )
    own: Literal["review", "forbid"] = Field(
        default="review",
        description=(
            "Access for an incident that may be the requester's own: `review` allows it with a review, "
            "`forbid` refuses it"
        ),
    )
    review_within: _Review = LATEST_REVIEW


class WorkflowNeeded(PolicyPart):
    """The workflow that access requires, and the role in it that a requester needs.

    ``sources`` lists names of sources, with ``stint`` for Stint's own workflows. By default, any source is
    accepted. ``staleness`` is in seconds: a workflow that could not be read for longer counts as closed. With
    ``approvals: none``, access starts immediately for people who are assigned or on call, if another person
    is known to have opened the workflow and they were not the last to change its severity, urgency or
    assignee.
    """

    kinds: tuple[Literal["incident", "change", "ticket", "task", "pipeline"], ...] = Field(
        min_length=1, description="The kinds of workflows that are accepted", examples=[["change"]]
    )
    sources: tuple[Name, ...] | None = Field(
        default=None,
        min_length=1,
        description="Sources, with `stint` for Stint's own. Default: any",
        examples=[["pagerduty"]],
    )
    severity: tuple[Literal["P1", "P2", "P3", "P4"], ...] | None = Field(
        default=None, min_length=1, description="Severities. Default: any", examples=[["P1", "P2"]]
    )
    staleness: Annotated[Duration, Field(ge=60, le=86400)] = Field(
        default=STALENESS,
        description="How long a workflow can be unreadable before it counts as closed, 1m to 24h",
    )
    requester: Literal["anyone", "assignee", "member", "on_call"] = Field(
        default="anyone", description="The role that the requester must have in the workflow"
    )
    approvals: Literal["none", "same"] = Field(
        default="same", description="With `none`, access is immediate for people who are assigned or on call"
    )

    @model_validator(mode="after")
    def _somebody_vouches(self) -> WorkflowNeeded:
        if (
            self.approvals == "none"
            and self.requester in ("anyone", "member")
            and self.kinds != ("pipeline",)
        ):
            raise ValueError(
                "approvals: `none` needs `requester: assignee` or `on_call`, because anyone can open and join"
                " a workflow"
            )
        return self


class Deviations(PolicyPart):
    """How many refused commands are tolerated. At the limit, a machine's grant ends, and a person's grant is
    suspended until an approver resumes it, or ends.
    """

    limit: Annotated[int, Field(ge=1, le=1000)] = Field(description="The number of refused commands")
    people: Literal["hold", "end"] = Field(
        default="hold", description="Whether a person's grant is suspended or ends; a machine's always ends"
    )


# The defaults. Each refusal is an entry in the record, so no grant can have an unlimited number of refusals.
MACHINES_LIMIT = Deviations(limit=50)
PEOPLES_LIMIT = Deviations(limit=500)


class Recordings(PolicyPart):
    """How long recordings of command output are kept. Their digests are kept forever."""

    keep: Annotated[Duration, Field(ge=86400, le=3660 * 86400)] = Field(
        description="How long, from 1d to 3660d"
    )


class HoldAnswers(PolicyPart):
    """For how many runs an approver can allow a held command."""

    times: int = Field(
        default=10, ge=1, le=50, description="The most runs of the same command that one approval can allow"
    )
    grant: bool = Field(
        default=True, description="Whether a tool call can be allowed for the rest of the grant"
    )

    @property
    def several(self) -> range:
        """The numbers of runs, above one, that one approval can allow."""
        return range(2, self.times + 1)


class Delegation(PolicyPart):
    """The identities to which holders can delegate, and through how many levels (person → pipeline → agent:
    2).
    """

    depth: int = Field(
        default=1, ge=1, le=5, description="The maximum number of levels: 2 for person → pipeline → agent"
    )
    to: Who


class Terms(PolicyPart):
    """The terms of access after its approval: how it can be extended and delegated, how many refused commands
    it tolerates, and how often its holder must send a heartbeat, in seconds.
    """

    extension: Extension | None = None
    deviations: Deviations | None = None
    heartbeat: int | None = None
    delegation: Delegation | None = None


class PolicyDocument(PolicyPart):
    """Who can request which command sets on which clusters, for how long, and with which approvals."""

    name: Name = Field(
        description="The name of the policy: lowercase letters, digits, `-` and `_`", examples=["web-work"]
    )
    summary: str = Field(default="", max_length=200, description="What the policy is for, in one line")
    clusters: tuple[Name, ...] = Field(
        min_length=1, description="The clusters that the policy covers", examples=[["web"]]
    )
    command_sets: tuple[Name, ...] = Field(
        min_length=1, description="The command sets that can be requested", examples=[["restart-web"]]
    )
    requesters: Who = Field(description="Who can request access", examples=[{"groups": ["engineers"]}])
    viewers: Who | None = Field(
        default=None, description="Who else can see requests and grants under the policy"
    )
    administrators: Who | None = Field(
        default=None, description="Who can change the policy and end grants under it"
    )
    approvals: tuple[Clause, ...] | Literal["none"] = Field(
        description=(
            "The approvals that a request needs. Each entry needs approvals from different people. With "
            "`none`, access "
            "starts immediately for every requester"
        ),
        examples=[[{"count": 1, "from": ["leads"]}]],
    )
    max_duration: Duration = Field(description="The longest grant")
    max_horizon: Duration = Field(
        default=30 * 86400, description="How far ahead a grant's start can be requested"
    )
    decision_time: Duration = Field(
        default=86400, description="How long a request waits for a decision before it expires"
    )
    reason: Literal["required", "optional"] = Field(
        default="required", description="Whether a request needs a reason"
    )
    ticket: Annotated[str, AfterValidator(_pattern)] | None = Field(
        default=None,
        description="A ticket that matches this RE2 pattern is required",
        examples=["CHG-[0-9]+"],
    )
    windows: tuple[Window, ...] | None = Field(
        default=None,
        description="When grants can run, in one window or in several adjacent ones. Default: any time",
    )
    freezes: tuple[Freeze, ...] = Field(default=(), description="Periods in which no planned access can run")
    extension: Extension | None = Field(
        default=None, description="How grants can be extended. Default: not at all"
    )
    break_glass: BreakGlass | None = Field(
        default=None, description="Who can start immediately with a reason. Default: nobody"
    )
    incident: Incident | None = Field(
        default=None,
        description="Who can start immediately while an incident is open on the cluster. Default: nobody",
    )
    deviations: Deviations | None = Field(
        default=None,
        description="The maximum number of refused commands. Default: 500 for people, 50 for machines",
    )
    # Omitted from the stored document while unset, so that the digests of older policies stay the same.
    confirmation: Literal["required"] | None = Field(
        default=None,
        exclude_if=_is_unset,
        description=(
            "With `required`, approvers confirm their identity, such as with a passkey, in the five minutes"
            " before they approve a request or allow a held command. Default: not needed"
        ),
    )
    notify: Notify | None = Field(
        default=None,
        exclude_if=_is_unset,
        description="Who is notified of requests and grants. Default: all approvers",
    )
    escalation: tuple[Step, ...] = Field(
        default=(),
        max_length=10,
        exclude_if=_is_unset,
        description="The people to notify if no one decides, in ascending order of time",
    )
    workflow: WorkflowNeeded | None = Field(
        default=None,
        exclude_if=_is_unset,
        description="The workflow that access requires. Access ends when it closes. Default: no workflow is "
        "required",
    )
    heartbeat: Annotated[Duration, Field(ge=5, le=3600)] | None = Field(
        default=None,
        exclude_if=_is_unset,
        description="How often the holder must report, from 5s to 1h. Three missed reports end the grant",
    )
    delegation: Delegation | None = Field(
        default=None,
        exclude_if=_is_unset,
        description="The identities to which holders can delegate part of their grant. Default: none",
    )
    hold_answers: HoldAnswers | None = Field(
        default=None,
        exclude_if=_is_unset,
        description="For how many runs approvers can allow a held command. Default: up to 10, and tool calls "
        "for the rest of the grant",
    )
    recordings: Recordings | None = Field(
        default=None,
        exclude_if=_is_unset,
        description="How long recordings are kept. Default: `STINT_RECORDINGS_DAYS`",
    )

    @property
    def answers(self) -> HoldAnswers:
        """For how many runs approvers can allow a held command."""
        return self.hold_answers or HoldAnswers()

    def deviations_of(self, *, person: bool) -> Deviations:
        """Return the limit on refused commands for grants of a person or of a machine."""
        return self.deviations or (PEOPLES_LIMIT if person else MACHINES_LIMIT)

    @model_validator(mode="after")
    def _no_empty_lists(self) -> PolicyDocument:
        if self.approvals == ():
            raise ValueError("approvals: an empty list is not allowed; use `none` if no approval is needed")
        if self.windows == ():
            raise ValueError("windows: remove the key to allow any time; an empty list allows none")
        first = set(self.notify.first if self.notify else ()) - set(self.approver_groups)
        if first:
            raise ValueError(f"notify: {', '.join(sorted(first))} can't decide: name groups of approvers")
        told = {group for step in self.escalation for group in step.notify.groups}
        seeing = [group for who in (self.viewers, self.administrators) if who for group in who.groups]
        if blind := sorted(told - {*self.approver_groups, *seeing}):
            raise ValueError(
                f"escalation: {', '.join(blind)} can't see requests: add the group as approver, viewer or"
                " administrator"
            )
        times = [step.after for step in self.escalation]
        if times != sorted(set(times)):
            raise ValueError("escalation: steps must be in ascending order of time")
        if self.incident and self.incident.approvals == "same" and self.approvals == "none":
            raise ValueError(
                "incident: approvals can't be `same` if the policy needs none: use `approvals: none`"
            )
        return self

    @property
    def terms(self) -> Terms:
        """The terms with which a request is approved."""
        return Terms(**{key: getattr(self, key) for key in Terms.model_fields})

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group that the policy names, without duplicates, in order."""
        who = (self.requesters, self.viewers, self.administrators)
        named = [group for one in who if one for group in one.groups]
        named += self.approver_groups
        named += self.break_glass.groups if self.break_glass else ()
        named += self.incident.on_call if self.incident else ()
        named += [group for step in self.escalation for group in step.notify.groups]
        return tuple(dict.fromkeys(named))

    @property
    def webhooks(self) -> tuple[str, ...]:
        """Every webhook that the policy names, without duplicates, in order."""
        named = [*(self.notify.webhooks if self.notify else ())]
        named += [name for step in self.escalation for name in step.notify.webhooks]
        return tuple(dict.fromkeys(named))

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """The required approvals; empty for `approvals: none`."""
        return () if self.approvals == "none" else self.approvals

    @property
    def extension_clauses(self) -> tuple[Clause, ...]:
        """The required approvals for an extension."""
        return self.clauses if self.extension is not None and self.extension.approvals == "same" else ()

    @property
    def incident_clauses(self) -> tuple[Clause, ...]:
        """The required approvals for access that is bound to an incident."""
        return self.clauses if self.incident is None or self.incident.approvals == "same" else ()

    @property
    def approver_groups(self) -> tuple[str, ...]:
        """Every group that a clause names, without duplicates, in order."""
        return tuple(dict.fromkeys(group for clause in self.clauses for group in clause.groups))
