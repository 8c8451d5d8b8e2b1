"""The facts about one request for its approvers and its requester."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import Identity
from broker.kernel.postgresql.rows import Rows, ask
from sessions_app.models import (
    AccessRequest,
    Approval,
    Comment,
    Grant,
    RequestState,
    Target,
    Verdict,
    Workflow,
    WorkflowKind,
    WorkflowState,
)
from sessions_app.operations.requests.comment_request import MOST as THREAD
from sessions_app.policy.approval_count import resolve
from sessions_app.policy.commands.answers import CommandView
from sessions_app.policy.commands.kinds import describe
from sessions_app.policy.policies import Clause, PolicyDocument
from sessions_app.policy.scope import Extent
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.deciders import counted_verdicts, eligible_approvers
from sessions_app.queries.requests.extents import left_of
from sessions_app.queries.requests.starts import would_run
from sessions_app.queries.statements.composed import Listed, first_of
from sessions_app.queries.statements.related_names import unnamed, with_approvals, with_bars, with_names
from sessions_app.web.display import timeline_chart as timeline
from sessions_app.web.display.states import in_order
from sessions_app.web.display.timeline_spans import span_of_grant, span_of_request
from sessions_app.web.requests.behind import Behind, behind_of
from sessions_app.web.requests.past import PastRecord, past_of

MOST = 12
SHORTER = (900, 1800, 3600, 7200, 14400, 28800)


class CommandLine(NamedTuple):
    """One requested command, whether the holder can already run it, and whether approvers excluded it."""

    view: CommandView
    has_already: bool
    left_out: bool

    @property
    def group(self) -> str:
        """The key of the heading above the command."""
        return "left_out" if self.left_out else "has" if self.has_already else "gains"

    @property
    def destructive(self) -> bool:
        """Whether the command is destructive."""
        return self.view.effect == "destructive"


class Needed(NamedTuple):
    """One approval clause: the number of missing approvals, and the people who can give them."""

    clause: Clause
    missing: int
    people: Sequence[Identity]


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One request with all related data."""

    request: AccessRequest
    document: PolicyDocument
    starts_at: dt.datetime
    ends_at: dt.datetime
    # Whether the request or its workflow has a start time, so that access doesn't start on approval.
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
    # The scope left by approvers so far; for an approved request, the granted scope.
    left: Extent
    # Who else has access at the requested time. None after the decision, and for the requester.
    chart: timeline.Chart | None
    finish_seconds: int

    @property
    def kept(self) -> list[CommandLine]:
        """The commands that are still in the scope."""
        return [line for line in self.lines if not line.left_out]

    @property
    def kept_targets(self) -> list[Target]:
        """The targets that are still in the scope."""
        return [target for target in self.targets if target.pk in self.left.targets]

    @property
    def accounts(self) -> list[str]:
        """The accounts that run commands on the remaining targets, `root` first."""
        found = {target.account for target in self.kept_targets if target.account}
        return sorted(found, key=lambda account: (account != "root", account))

    @property
    def direct(self) -> bool:
        """Whether holders get a credential for the cluster itself, so that their requests don't pass through
        Stint.
        """
        return bool(self.request.cluster.connection.get("direct"))

    @property
    def destructive(self) -> int:
        """The number of destructive commands in the remaining scope."""
        return sum(1 for line in self.kept if line.destructive)

    @property
    def own_parameters(self) -> list[tuple[str, str]]:
        """The parameters that the requester entered, not those from the workflow."""
        taken = {name for name, *_ in self.behind.bound} if self.behind else set()
        return [(name, value) for name, value in self.request.parameters.items() if name not in taken]

    @property
    def narrowed_by(self) -> list[str]:
        """The approvers who reduced the scope."""
        return [str(approval.approver) for approval in self.approvals if approval.narrowing]

    @property
    def left_out_by(self) -> list[str]:
        """The approvers who excluded commands."""
        return [str(one.approver) for one in self.approvals if one.narrowing.get("commands")]

    @property
    def missing(self) -> int:
        """The total number of missing approvals."""
        return sum(need.missing for need in self.needed)

    @property
    def wanted(self) -> int:
        """The total number of approvals that the request needs or needed."""
        if self.request.state == RequestState.PENDING:
            return self.approved + self.missing
        return sum(need.clause.count for need in self.needed)

    @property
    def approved(self) -> int:
        """The number of approvals given."""
        return sum(1 for approval in self.approvals if approval.verdict == Verdict.APPROVE)

    @property
    def changed(self) -> bool:
        """Whether a pending request's scope no longer matches what was requested."""
        return self.request.state == RequestState.PENDING and self.digest_now != self.request.digest

    @property
    def durations(self) -> list[int]:
        """The durations that an approver can choose: some shorter ones, and the full remaining time last."""
        whole = self.left.duration
        return [*[seconds for seconds in SHORTER if seconds < whole][-2:], whole]


def request_facts(
    request: AccessRequest, reader: Identity, now: dt.datetime, *, others: bool, past: bool
) -> RequestFacts:
    """Return one request with all related data.

    ``others`` adds who else has access at the same time. ``past`` adds the requester's last grant on the
    cluster.
    """
    document = facts.policy_document(request.policy)
    compiled = commands.asked(request)
    waits = request.state == RequestState.PENDING
    starts_at, ends_at = would_run(request, now if waits else request.decided_at or request.created_at)
    # A decided request is shown as it was when requested, regardless of who has access by now.
    held = _held_already(request, starts_at, now) if waits else set()
    left = left_of(request)
    targets = sorted(facts.targets_of(request), key=lambda one: in_order(one.name))
    others = others and waits
    overlapping = (
        _OVERLAPPING(
            reader,
            now,
            cluster=request.cluster_id,
            but=request.requester_id,
            start=starts_at,
            end=ends_at,
        )
        if others
        else []
    )
    approvals = sorted(
        (one for one in request.approvals.all() if one.voided_at is None), key=lambda one: one.created_at
    )
    return RequestFacts(
        request=request,
        document=document,
        starts_at=starts_at,
        ends_at=ends_at,
        has_start=bool(request.starts_at or (request.extends and waits)) or starts_at > now,
        lines=_lines(describe(compiled), held, left),
        targets=targets,
        all_targets=ask(_TARGETS, request.cluster_id)[0][0],
        gone_targets=len(request.targets) - len(targets),
        approvals=approvals,
        needed=_needed(request, document, {approval.approver.person for approval in approvals}),
        digest_now=facts.scope_of(request, targets).digest(),
        overlapping=overlapping,
        past=past_of(request, reader, now, whole=past),
        incidents=_other_incidents(request, reader, now) if waits else [],
        behind=behind_of(request, starts_at),
        comments=_COMMENTS(request.pk, THREAD),
        left=left,
        chart=_chart(request, reader, overlapping, starts_at, ends_at, now) if others else None,
        finish_seconds=max(
            (one.rule.finish_seconds or 0 for one in compiled.commands if one.index in left.commands),
            default=0,
        ),
    )


def _lines(views: Sequence[CommandView], held: set[Hashable], left: Extent) -> list[CommandLine]:
    """Return the commands in this order: new ones, those that the holder already has, excluded ones."""
    found = [CommandLine(view, _limits_of(view) in held, view.index not in left.commands) for view in views]
    return sorted(found, key=lambda line: (line.left_out, line.has_already))


_TARGETS = "SELECT count(*) FROM sessions_app_target WHERE cluster_id = %s AND removed_at IS NULL"
_COMMENTS = Rows(
    Comment,
    "author",
    without=unnamed("author"),
    tail="WHERE sessions_app_comment.request_id = %s ORDER BY sessions_app_comment.id LIMIT %s",
)


def _other_incidents(request: AccessRequest, reader: Identity, now: dt.datetime) -> list[Workflow]:
    """Return the open incidents on the cluster that the reader can see, except the request's own incident."""
    return _INCIDENTS(reader, now, cluster=request.cluster_id, but=request.workflow_id or 0)


def _incidents(reader: Identity, _: dt.datetime, cluster: int, but: int) -> QuerySet[Workflow]:
    seen = Workflow.objects.visible_to(reader).filter(state=WorkflowState.OPEN, kind=WorkflowKind.INCIDENT)
    found = seen.filter(clusters=cluster).exclude(pk=but)
    return found.distinct().order_by("severity", "-pk")[:MOST]


_INCIDENTS = Listed(_incidents, cluster=int, but=int)


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


def _held_already(request: AccessRequest, starts_at: dt.datetime, now: dt.datetime) -> set[Hashable]:
    """Return the commands, with their limits, that the requester could already run on all targets at the
    start.
    """
    around = _AROUND(None, now, holder=request.requester_id, cluster=request.cluster_id, at=starts_at)
    wanted = set(request.targets)
    return {
        _limits_of(view)
        for grant in around
        if wanted <= set(vars(grant)["reached"])
        for view in describe(commands.compiled(grant.command_set_version, grant.parameters, grant.commands))
    }


def _around(_: None, __: dt.datetime, holder: int, cluster: int, at: dt.datetime) -> QuerySet[Grant]:
    """Return the grants at that time, each with the ids of its targets in ``reached``."""
    found = Grant.objects.before_end().filter(
        holder=holder, cluster=cluster, starts_at__lte=at, expires_at__gt=at
    )
    targets = Grant.targets.through.objects.filter(grant=OuterRef("pk")).values("target")
    return (
        found.select_related("command_set_version")
        .defer("command_set_version__source", "command_set_version__document")
        .annotate(reached=ArraySubquery(targets))
    )


_AROUND = Listed(_around, holder=int, cluster=int, at=dt.datetime)


def _limits_of(view: CommandView) -> Hashable:
    """Return the properties that are equal if two commands count as the same."""
    return view.text, view.hold, view.as_root, view.free, view.detail


def _overlapping(
    reader: Identity, _: dt.datetime, cluster: int, but: int, start: dt.datetime, end: dt.datetime
) -> QuerySet[Grant]:
    """Return the grants of others than ``but`` in that time."""
    found = (
        Grant.objects.visible_to(reader)
        .not_ended()
        .filter(cluster=cluster, starts_at__lt=end, expires_at__gt=start)
        .exclude(holder=but)
    )
    return with_bars(first_of(found, "starts_at", "pk", most=MOST))


def _pending(
    reader: Identity, _: dt.datetime, cluster: int, but: int, end: dt.datetime
) -> QuerySet[AccessRequest]:
    """Return the pending requests other than ``but`` whose access would start before that time."""
    planned = Q(starts_at__lt=end) | Q(starts_at__isnull=True, workflow__starts_at__lt=end)
    found = AccessRequest.objects.visible_to(reader).filter(
        planned, state=RequestState.PENDING, cluster=cluster
    )
    return with_names(first_of(found.exclude(pk=but), "pk", most=MOST))


_OVERLAPPING = Listed(_overlapping, cluster=int, but=int, start=dt.datetime, end=dt.datetime)
_PENDING = Listed(_pending, cluster=int, but=int, end=dt.datetime)


def _chart(
    request: AccessRequest,
    reader: Identity,
    overlapping: Sequence[Grant],
    starts_at: dt.datetime,
    ends_at: dt.datetime,
    now: dt.datetime,
) -> timeline.Chart:
    margin = max((ends_at - starts_at) / 3, dt.timedelta(minutes=30))
    pending = _PENDING(reader, now, cluster=request.cluster_id, but=request.pk, end=ends_at)
    with_approvals(pending)
    spans = [span_of_request(request, now, note=str(request.command_set_version.command_set), emphasis=True)]
    spans += [span_of_grant(grant, note=str(grant.command_set_version.command_set)) for grant in overlapping]
    spans += [
        span_of_request(other, now, note=str(other.command_set_version.command_set)) for other in pending
    ]
    return timeline.draw(
        spans, start=timezone.localtime(starts_at - margin), end=timezone.localtime(ends_at + margin), now=now
    )
