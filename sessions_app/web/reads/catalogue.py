"""Clusters, command sets and policies, as those who may see them read them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format

from accounts.models import Identity
from sessions_app.models import AccessPolicy, Cluster, CommandSet, CommandSetVersion, Grant, Target
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.examples import check_examples
from sessions_app.policy.commands.ssh import (
    Allowed,
    CommandView,
    CompileError,
    Refused,
    compile_open,
    compile_set,
    decide,
    describe,
)
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.windows import upcoming
from sessions_app.queries import commands, facts
from sessions_app.web.reads.home import LIVE, how_many_live, with_names

_DAYS = {"mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday",
         "sat": "Saturday", "sun": "Sunday"}  # fmt: skip


def clusters(identity: Identity) -> QuerySet[Cluster]:
    """Return the live clusters that the identity may see, with how many targets they have and grants are in use there."""
    return (
        Cluster.objects.live()
        .visible_to(identity)
        .annotate(
            target_count=Count("targets", filter=Q(targets__removed_at__isnull=True)),
            live_count=how_many_live("cluster"),
        )
        .order_by("name")
    )


@dataclass(frozen=True, slots=True)
class ClusterPage:
    """One cluster for one reader."""

    cluster: Cluster
    targets: Sequence[Target]
    policies: Sequence[AccessPolicy]
    live: Sequence[Grant]
    may_ask: bool


def cluster_page(cluster: Cluster, reader: Identity) -> ClusterPage:
    """Return a cluster with its targets, the policies that cover it and who has access there now."""
    policies = AccessPolicy.objects.live().visible_to(reader).filter(clusters=cluster)
    return ClusterPage(
        cluster=cluster,
        targets=list(cluster.targets.filter(removed_at__isnull=True).order_by("name")),
        policies=list(policies.distinct().prefetch_related("command_sets").order_by("name")),
        live=list(
            with_names(Grant.objects.visible_to(reader))
            .filter(cluster=cluster, state__in=LIVE)
            .order_by("expires_at")[:50]
        ),
        may_ask=AccessPolicy.objects.requestable_by(reader).filter(clusters=cluster).exists(),
    )


def command_sets(identity: Identity) -> QuerySet[CommandSet]:
    """Return the live command sets that the identity may see, with their versions."""
    return (
        CommandSet.objects.live()
        .visible_to(identity)
        .prefetch_related(Prefetch("versions", CommandSetVersion.objects.defer("source").order_by("-number")))
        .order_by("name")
    )


@dataclass(frozen=True, slots=True)
class CommandSetPage:
    """One version of a command set. ``document`` is None when the row can't be read."""

    command_set: CommandSet
    version: CommandSetVersion
    versions: Sequence[CommandSetVersion]
    document: CommandSetDocument
    views: Sequence[CommandView]
    example_count: int
    failures: int
    policies: Sequence[AccessPolicy]


def command_set_page(command_set: CommandSet, version: CommandSetVersion, reader: Identity) -> CommandSetPage:
    """Return one version with its commands, parameters, examples, and the policies that use it."""
    document = commands.document_of(version)
    policies = AccessPolicy.objects.live().visible_to(reader).filter(command_sets=command_set).distinct()
    return CommandSetPage(
        command_set=command_set,
        version=version,
        versions=list(command_set.versions.order_by("-number")),
        document=document,
        views=describe(compile_open(document)),
        example_count=len(document.examples.allow) + len(document.examples.refuse),
        failures=len(check_examples(document)),
        policies=list(policies.order_by("name")),
    )


@dataclass(frozen=True, slots=True)
class TryResult:
    """What the gateway would say to one line."""

    line: str
    allowed: bool
    message: str
    effect: str = ""
    hold: bool = False


def try_line(version: CommandSetVersion, line: str, values: dict[str, str]) -> TryResult:
    """Return what the gateways would decide on a line; parameters without a value are open inside their types."""
    document = commands.document_of(version)
    try:
        given = {name: value for name, value in values.items() if value}
        compiled = (
            compile_set(document, given) if len(given) == len(document.parameters) else compile_open(document)
        )
    except CompileError as error:
        return TryResult(line, False, str(error))
    answer = decide(compiled, line)
    if isinstance(answer, Refused):
        nearest = f" Nearest: {answer.nearest}" if answer.nearest else ""
        return TryResult(line, False, f"{answer.reason[:1].upper()}{answer.reason[1:]}.{nearest}")
    return TryResult(line, True, _said(answer), answer.effect, answer.hold)


def _said(answer: Allowed) -> str:
    values = ", ".join(f"{name} is {value}" for name, value in answer.matched.items())
    held = " Each run waits for a second person." if answer.hold else ""
    return f"Command {answer.index + 1} of the set{f', {values}' if values else ''}.{held}"


class Sentence(NamedTuple):
    """One thing that a policy says, in plain words."""

    icon: str
    text: str


def _list(names: Sequence[str], last: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def sentences(document: PolicyDocument) -> list[Sentence]:
    """Return a policy in plain sentences, in the order in which people ask."""
    who = [
        *(f"people and machines in {group}" for group in document.requesters.groups),
        *document.requesters.identities,
    ]
    found = [
        Sentence("people", f"{_list(who).capitalize()} may ask."),
        Sentence("cmd", f"For {_list(document.command_sets, 'or')}, on {_list(document.clusters, 'or')}."),
        Sentence(
            "clock",
            f"For at most {say_duration(document.max_duration)}, starting at most {say_duration(document.max_horizon)} ahead.",
        ),
        Sentence("stamp", _approvals(document)),
    ]
    if document.reason == "required":
        found.append(Sentence("ask", "A reason in words is needed."))
    if document.ticket is not None:
        found.append(Sentence("ticket", f"A ticket is needed that looks like {document.ticket}."))
    found += [Sentence("gantt", _window(window)) for window in document.windows or ()]
    found += [
        Sentence("lock", f"Nothing from {_moment(freeze.start)} to {_moment(freeze.end)}: {freeze.reason}.")
        for freeze in document.freezes
    ]
    found.append(Sentence("plus", _extension(document)))
    if document.break_glass:
        terms = document.break_glass
        found.append(
            Sentence(
                "flame",
                f"In an emergency {_list(terms.groups, 'or')} may start at once, for at most {say_duration(terms.max_duration)}; somebody else reviews it within {say_duration(terms.review_within)}.",
            )
        )
    return found


def _approvals(document: PolicyDocument) -> str:
    if not document.clauses:
        return "No approval is needed: it starts at once."
    parts = [f"{clause.count} from {_list(clause.groups, 'or')}" for clause in document.clauses]
    total = sum(clause.count for clause in document.clauses)
    word = "approval is" if total == 1 else "approvals are"
    return f"{total} {word} needed: {_list(parts)}, within {say_duration(document.decision_time)}. One's own never counts; one denial ends it."


def _window(window: Any) -> str:
    days = _list([_DAYS[day] for day in window.days])
    return f"Only on {days}, {window.start:%H:%M} to {window.end:%H:%M}, {window.zone}."


def _moment(moment: dt.datetime) -> str:
    return f"{date_format(timezone.localtime(moment), 'j F Y')} {timezone.localtime(moment):%H:%M %Z}"


def _extension(document: PolicyDocument) -> str:
    if document.extension is None:
        return "No extension."
    terms = document.extension
    needs = (
        "with the same approvals" if terms.approvals == "same" and document.clauses else "without approval"
    )
    times = "Once" if terms.times == 1 else f"{terms.times} times"
    return f"{times} it can be extended by up to {say_duration(terms.by)}, {needs}."


@dataclass(frozen=True, slots=True)
class PolicyPage:
    """One policy for one reader."""

    policy: AccessPolicy
    document: PolicyDocument
    sentences: Sequence[Sentence]
    windows: Sequence[tuple[dt.datetime, dt.datetime]]
    may_ask: bool


def policy_page(policy: AccessPolicy, reader: Identity, now: dt.datetime) -> PolicyPage:
    """Return a policy in plain sentences, with its next windows."""
    document = facts.policy_document(policy)
    return PolicyPage(
        policy=policy,
        document=document,
        sentences=sentences(document),
        windows=upcoming(document.windows, now, 5) if document.windows else [],
        may_ask=AccessPolicy.objects.requestable_by(reader).filter(pk=policy.pk).exists(),
    )
