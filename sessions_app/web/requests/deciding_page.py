"""All that an approver, or the asker, needs to know about one request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from accounts.models import Identity
from sessions_app.models import (
    AccessRequest,
    Approval,
    CommandRun,
    Comment,
    Grant,
    GrantState,
    Observed,
    RequestState,
    RunState,
    Target,
    Verdict,
    Workflow,
    WorkflowKind,
    WorkflowState,
)
from sessions_app.operations.requests.comment_request import MOST as THREAD
from sessions_app.operations.requests.remind_request import PAUSE
from sessions_app.policy.approvals import resolve
from sessions_app.policy.commands.answers import CommandView
from sessions_app.policy.commands.kinds import describe
from sessions_app.policy.policies import Clause, PolicyDocument
from sessions_app.policy.scope import Extent
from sessions_app.queries import commands, facts
from sessions_app.queries.comparisons import comparison
from sessions_app.queries.deciders import counted_verdicts, eligible_approvers, may_not_decide
from sessions_app.queries.extents import left_of
from sessions_app.queries.named import with_names
from sessions_app.queries.starts import would_run
from sessions_app.queries.workflows import why_over
from sessions_app.web.shell import board as timeline
from sessions_app.web.shell.home_page import LIVE
from sessions_app.web.shell.words import in_order

PAST = dt.timedelta(days=90)
MOST = 12
# Of the requester's past, that many grants are looked at.
NEWEST = 200
SHORTER = (900, 1800, 3600, 7200, 14400, 28800)


class CommandLine(NamedTuple):
    """One command that is asked for, whether the holder can run it already, and whether approvers left it out."""

    view: CommandView
    has_already: bool
    left_out: bool

    @property
    def group(self) -> str:
        """Under which heading it stands."""
        return "left_out" if self.left_out else "has" if self.has_already else "gains"


class Needed(NamedTuple):
    """One clause: how many approvals are missing, and who may give them."""

    clause: Clause
    missing: int
    people: Sequence[Identity]


class PastRecord(NamedTuple):
    """What the requester did on the cluster in the 90 days before it was decided; ``more``: there were more grants than were looked at.

    ``refused`` is None where refusals are not observed; ``compared`` says what was used of the ``last`` grant of the same command
    set.
    """

    grants: int
    more: bool
    early: int
    refused: int | None
    recording: CommandRun | None
    last: Grant | None = None
    compared: str = ""


class Behind(NamedTuple):
    """The work behind a request: whether it has a planned time and that covers all that is asked for, the requester's part in
    it in words, and the parameters that are taken from it, each with the name of the fact and its value.
    """

    workflow: Workflow
    planned: bool
    covers: bool
    part: str
    bound: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One request with everything around it."""

    request: AccessRequest
    document: PolicyDocument
    starts_at: dt.datetime
    ends_at: dt.datetime
    # Whether it has a start, of its own or of the work, and does not begin with its approval.
    has_start: bool
    lines: Sequence[CommandLine]
    targets: Sequence[Target]
    all_targets: int
    gone_targets: int
    approvals: Sequence[Approval]
    needed: Sequence[Needed]
    digest_now: str
    overlapping: Sequence[Grant]
    past: PastRecord
    incidents: Sequence[Workflow]
    behind: Behind | None
    comments: Sequence[Comment]
    # What those who approved so far left of it; of what is approved, what was granted.
    left: Extent
    # Who else is there at the time, while it is not decided.
    chart: timeline.Chart | None
    finish_seconds: int

    @property
    def kept(self) -> list[CommandLine]:
        """The commands that are left."""
        return [line for line in self.lines if not line.left_out]

    @property
    def kept_targets(self) -> list[Target]:
        """The targets that are left."""
        return [target for target in self.targets if target.pk in self.left.targets]

    @property
    def accounts(self) -> list[str]:
        """As whom commands run on the targets that are left, `root` first."""
        found = {target.account for target in self.kept_targets if target.account}
        return sorted(found, key=lambda account: (account != "root", account))

    @property
    def destructive(self) -> int:
        """How many destructive commands are left."""
        return sum(1 for line in self.kept if line.view.effect == "destructive")

    @property
    def own_parameters(self) -> list[tuple[str, str]]:
        """The parameters that were given, and not taken from the work."""
        taken = {name for name, *_ in self.behind.bound} if self.behind else set()
        return [(name, value) for name, value in self.request.parameters.items() if name not in taken]

    @property
    def narrowed_by(self) -> list[str]:
        """Who made it smaller."""
        return [str(approval.approver) for approval in self.approvals if approval.narrowing]

    @property
    def left_out_by(self) -> list[str]:
        """Who left out commands."""
        return [str(one.approver) for one in self.approvals if one.narrowing.get("commands")]

    @property
    def missing(self) -> int:
        """How many approvals are missing in all."""
        return sum(need.missing for need in self.needed)

    @property
    def wanted(self) -> int:
        """How many approvals it needs, or needed, in all."""
        if self.request.state == RequestState.PENDING:
            return self.approved + self.missing
        return sum(need.clause.count for need in self.needed)

    @property
    def approved(self) -> int:
        """How many approvals were given."""
        return sum(1 for approval in self.approvals if approval.verdict == Verdict.APPROVE)

    @property
    def changed(self) -> bool:
        """Whether what is behind the request is no longer what was asked for."""
        return self.request.state == RequestState.PENDING and self.digest_now != self.request.digest

    @property
    def durations(self) -> list[int]:
        """What it may be allowed for: some shorter times, and all that is left last."""
        whole = self.left.duration
        return [*[seconds for seconds in SHORTER if seconds < whole][-2:], whole]


def request_facts(request: AccessRequest, reader: Identity, now: dt.datetime) -> RequestFacts:
    """Return one request with everything around it."""
    document = facts.policy_document(request.policy)
    compiled = commands.asked(request)
    waits = request.state == RequestState.PENDING
    starts_at, ends_at = would_run(request, now if waits else request.decided_at or request.created_at)
    # What is decided is told as it was asked for: who has what by now says nothing of it.
    held = _held_already(request, starts_at) if waits else set()
    left = left_of(request)
    targets = sorted(facts.targets_of(request), key=lambda one: in_order(one.name))
    overlapping = _overlapping(request, reader, starts_at, ends_at) if waits else []
    approvals = list(
        request.approvals.filter(voided_at__isnull=True).select_related("approver").order_by("created_at")
    )
    return RequestFacts(
        request=request,
        document=document,
        starts_at=starts_at,
        ends_at=ends_at,
        has_start=bool(request.starts_at or (request.extends and waits)) or starts_at > now,
        lines=_lines(describe(compiled), held, left),
        targets=targets,
        all_targets=request.cluster.targets.filter(removed_at__isnull=True).count(),
        gone_targets=len(request.targets) - len(targets),
        approvals=approvals,
        needed=_needed(request, document, {approval.approver.person for approval in approvals}),
        digest_now=facts.scope_of(request, targets).digest(),
        overlapping=overlapping,
        past=_past(request, reader, now),
        incidents=_other_incidents(request, reader) if waits else [],
        behind=_behind(request, starts_at),
        comments=list(request.comments.select_related("author").order_by("pk")[:THREAD]),
        left=left,
        chart=_chart(request, reader, overlapping, starts_at, ends_at, now) if waits else None,
        finish_seconds=max(
            (one.rule.finish_seconds or 0 for one in compiled.commands if one.index in left.commands),
            default=0,
        ),
    )


def _lines(views: Sequence[CommandView], held: set[tuple[str, bool]], left: Extent) -> list[CommandLine]:
    """Return the commands: what is new first, then what the holder has already, then what was left out."""
    found = [
        CommandLine(view, (view.text, view.hold) in held, view.index not in left.commands) for view in views
    ]
    return sorted(found, key=lambda line: (line.left_out, line.has_already))


def request_page(request: AccessRequest, reader: Identity, now: dt.datetime) -> dict[str, Any]:
    """Return the context of the page of one request, for any reader who may see it."""
    own = reader.pk in (request.requester_id, request.requester.owner_id)
    found = request_facts(request, reader, now)
    over = why_over(request.workflow, request.decided_at or now) if request.workflow else ""
    return {
        "asked": request,
        "facts": found,
        "own": own,
        "may_not": may_not_decide(request, reader),
        "grant": getattr(request, "grant", None),
        "mine": next((one for one in found.approvals if one.approver_id == reader.pk), None),
        "remindable": request.reminded_at is None or now - request.reminded_at >= PAUSE,
        "lapsed": request.state == RequestState.PENDING and (request.lapses_at <= now or bool(over)),
        "over": over,
    }


def _other_incidents(request: AccessRequest, reader: Identity) -> list[Workflow]:
    """Return the open incidents on the cluster that the reader may see, but for the one that the request is for."""
    seen = Workflow.objects.visible_to(reader).filter(state=WorkflowState.OPEN, kind=WorkflowKind.INCIDENT)
    found = seen.filter(clusters=request.cluster).exclude(pk=request.workflow_id or 0)
    return list(found.distinct().order_by("severity", "-pk")[:MOST])


# Of several parts in the work, the first here says most.
_PARTS = {
    "assignee": "is assigned to it",
    "on_call": "is on call for it",
    "member": "is one of those who work on it",
}


def _behind(request: AccessRequest, starts_at: dt.datetime) -> Behind | None:
    workflow = request.workflow
    if workflow is None:
        return None
    roles = facts.roles_in(workflow, request.requester)
    end = starts_at + dt.timedelta(seconds=request.duration)
    taken = facts.workflow_parameters(request.command_set_version)
    return Behind(
        workflow,
        planned=bool(workflow.starts_at or workflow.ends_at),
        covers=(workflow.starts_at or starts_at) <= starts_at and end <= (workflow.ends_at or end),
        part=next(
            (said for role, said in _PARTS.items() if role in roles), "has no part in it that is known"
        ),
        bound=[(name, fact, request.parameters.get(name, "")) for name, fact in taken.items()],
    )


def _needed(request: AccessRequest, document: PolicyDocument, given: set[str]) -> list[Needed]:
    clauses = facts.clauses_of(request, document)
    if request.state != RequestState.PENDING:
        return [Needed(clause, 0, []) for clause in clauses]
    resolution = resolve(clauses=clauses, verdicts=counted_verdicts(request), digest=request.digest)
    return [
        Needed(
            clause,
            missing,
            [one for one in eligible_approvers(clause, request.requester) if one.person not in given],
        )
        for clause, missing in zip(clauses, resolution.missing, strict=True)
    ]


def _held_already(request: AccessRequest, starts_at: dt.datetime) -> set[tuple[str, bool]]:
    """Return the commands that the requester can run at the start on all the targets anyway, and whether each is held."""
    around = (
        Grant.objects.not_ended()
        .exclude(state=GrantState.REVOKING)
        .filter(
            holder=request.requester,
            cluster=request.cluster,
            starts_at__lte=starts_at,
            expires_at__gt=starts_at,
        )
        .select_related("command_set_version")
        .defer("command_set_version__source", "command_set_version__document")
        .prefetch_related("targets")
    )
    wanted = set(request.targets)
    grants = [grant for grant in around if wanted <= {target.pk for target in grant.targets.all()}]
    return {
        (view.text, view.hold)
        for grant in grants
        for view in describe(commands.compiled(grant.command_set_version, grant.parameters, grant.commands))
    }


def _overlapping(
    request: AccessRequest, reader: Identity, starts_at: dt.datetime, ends_at: dt.datetime
) -> list[Grant]:
    return list(
        with_names(Grant.objects.visible_to(reader).not_ended())
        .filter(cluster=request.cluster, starts_at__lt=ends_at, expires_at__gt=starts_at)
        .exclude(holder=request.requester)
        .order_by("starts_at")[:MOST]
    )


def _past(request: AccessRequest, reader: Identity, now: dt.datetime) -> PastRecord:
    # What was granted then, and what came after it, was no past yet.
    until = request.decided_at or now
    grants = (
        Grant.objects.filter(
            holder=request.requester,
            cluster=request.cluster,
            created_at__gt=until - PAST,
            created_at__lt=until,
        )
        .exclude(request=request)
        .order_by("-created_at")
    )
    newest = list(grants.values_list("pk", flat=True)[: NEWEST + 1])
    looked_at = newest[:NEWEST]
    ended = Grant.objects.filter(pk__in=looked_at, state=GrantState.ENDED).aggregate(
        grants=Count("pk"), early=Count("pk", filter=Q(ended_at__lt=F("expires_at")))
    )
    runs = CommandRun.objects.filter(grant__in=looked_at)
    seen = runs.filter(grant__in=Grant.objects.visible_to(reader)).exclude(recording="")
    # By time, which has no index: by number, a million runs of others might be read to find none.
    last = seen.select_related("grant").order_by("-tried_at").first()
    refused = runs.filter(state=RunState.REFUSED).count()
    known = refused or request.cluster.observed == Observed.ALL
    same = request.command_set_version.command_set_id
    mine = with_names(Grant.objects.visible_to(reader).filter(pk__in=looked_at, state=GrantState.ENDED))
    before = mine.filter(command_set_version__command_set=same).order_by("-created_at").first()
    return PastRecord(
        **ended, more=len(newest) > NEWEST, refused=refused if known else None, recording=last, last=before,
        compared=comparison(before, now)["sentence"] if before else "",
    )  # fmt: skip


def _chart(
    request: AccessRequest,
    reader: Identity,
    overlapping: Sequence[Grant],
    starts_at: dt.datetime,
    ends_at: dt.datetime,
    now: dt.datetime,
) -> timeline.Chart:
    margin = max((ends_at - starts_at) / 3, dt.timedelta(minutes=30))
    names = with_names(
        AccessRequest.objects.visible_to(reader).filter(state=RequestState.PENDING, cluster=request.cluster)
    )
    planned = Q(starts_at__lt=ends_at) | Q(starts_at__isnull=True, workflow__starts_at__lt=ends_at)
    pending = names.exclude(pk=request.pk).filter(planned).prefetch_related("approvals")[:MOST]
    spans = [
        timeline.span_of_request(
            request, now, note=str(request.command_set_version.command_set), emphasis=True
        )
    ]
    spans += [
        timeline.span_of_grant(grant, note=str(grant.command_set_version.command_set))
        for grant in overlapping
    ]
    spans += [
        timeline.span_of_request(other, now, note=str(other.command_set_version.command_set))
        for other in pending
    ]
    return timeline.draw(
        spans, start=timezone.localtime(starts_at - margin), end=timezone.localtime(ends_at + margin), now=now
    )


def live_on(cluster_id: int) -> int:
    """Return how many grants are in use on a cluster."""
    return Grant.objects.filter(cluster=cluster_id, state__in=LIVE).count()


class Decided(NamedTuple):
    """One thing that a person decided."""

    at: dt.datetime
    approval: Approval | None
    run: CommandRun | None
    review: Grant | None


def decided_by(person: Identity, most: int = 20) -> list[Decided]:
    """Return what a person decided last: verdicts, held commands and reviews, the latest first."""
    version = "request__command_set_version"
    approvals = (
        Approval.objects.filter(approver=person)
        .select_related("request__requester", "request__cluster", f"{version}__command_set")
        .defer(*(f"{version}__{large}" for large in ("source", "document", "findings", "accepted")))
    )
    runs = CommandRun.objects.filter(decided_by=person).select_related(
        "grant__holder", "grant__cluster", "target"
    )
    reviews = _reviews_by(person).select_related("holder", "cluster")
    found = [Decided(one.created_at, one, None, None) for one in approvals.order_by("-created_at")[:most]]
    found += [
        Decided(one.decided_at, None, one, None)
        for one in runs.order_by("-decided_at")[:most]
        if one.decided_at
    ]
    found += [
        Decided(one.reviewed_at, None, None, one)
        for one in reviews.order_by("-reviewed_at")[:most]
        if one.reviewed_at
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)[:most]


def decided_today(person: Identity, now: dt.datetime) -> int:
    """Return how much a person decided since midnight in their zone."""
    start = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    approvals = Approval.objects.filter(approver=person, created_at__gte=start).count()
    runs = CommandRun.objects.filter(decided_by=person, decided_at__gte=start).count()
    return approvals + runs + _reviews_by(person).filter(reviewed_at__gte=start).count()


def _reviews_by(person: Identity) -> QuerySet[Grant]:
    return Grant.objects.filter(reviewed_by=person)
