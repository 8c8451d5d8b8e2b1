"""Offers: the command sets that an identity can request on each cluster, or only those that would allow one
command.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Prefetch

from accounts.models import Identity
from sessions_app.connectors.registry import commands_of
from sessions_app.models import AccessPolicy, Cluster, CommandSet, CommandSetVersion, Target, requestable
from sessions_app.policy.commands.answers import (
    Allowed,
    CompiledSet,
    CompileError,
    FreeParameter,
    Refused,
    free_parameter,
)
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import decide
from sessions_app.policy.documents import DocumentError
from sessions_app.policy.policies import PolicyDocument
from sessions_app.queries.catalog.command_sets import compiled_open, document_of
from sessions_app.queries.requests import facts

MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One command set on one cluster, under the policy with the fewest approvals.

    ``approvals`` is a count; ``longest`` is in seconds. ``parameters`` are those that the command itself
    determines. ``missing`` are those that the requester still has to choose. ``effect`` is the command's
    effect; None without a command.
    """

    cluster: str
    kind: str
    targets: tuple[str, ...]
    command_set: str
    summary: str
    policy: str
    approvals: int
    longest: int
    reason_required: bool
    parameters: Mapping[str, str]
    missing: tuple[FreeParameter, ...]
    effect: str | None


# Evaluates a question against a command set.
Question = Callable[[CompiledSet], Allowed | Refused]


def offers(
    *,
    identity: Identity,
    cluster: str | None = None,
    target: str | None = None,
    line: str | None = None,
    question: Question | None = None,
) -> list[Offer]:
    """Return what the identity can request, fewest approvals first, at most 200 offers.

    ``cluster`` and ``target`` filter by name. ``line`` keeps only offers that would allow that command, and
    ``question`` those that accept the question. Policies and command sets that can't be read are left out.
    """
    if line is not None:
        question = functools.partial(decide, line=line)
    best: dict[tuple[str, str], Offer] = {}
    for policy, document, clusters in _policies(identity, cluster, target):
        for offer in _of_policy(policy, document, clusters, target, question):
            key = (offer.cluster, offer.command_set)
            if key not in best or offer.approvals < best[key].approvals:
                best[key] = offer
    return sorted(best.values(), key=lambda one: (one.approvals, one.cluster, one.command_set))[:MOST]


def _policies(
    identity: Identity, cluster: str | None, target: str | None
) -> Iterator[tuple[AccessPolicy, PolicyDocument, list[Cluster]]]:
    clusters = Cluster.objects.live()
    if cluster is not None:
        clusters = clusters.filter(name=cluster)
    if target is not None:
        clusters = clusters.filter(targets__in=Target.objects.live().filter(name=target))
    live = Prefetch("targets", Target.objects.live().order_by("name"))
    published = CommandSetVersion.objects.filter(published_at__isnull=False).order_by("-number")
    sets = CommandSet.objects.live().prefetch_related(Prefetch("versions", published))
    pairs = set(requestable(identity).filter(cluster__in=clusters).values_list("accesspolicy", "cluster"))
    found = AccessPolicy.objects.filter(pk__in={policy for policy, _ in pairs}).prefetch_related(
        Prefetch("clusters", clusters.distinct().prefetch_related(live)), Prefetch("command_sets", sets)
    )
    for policy in found.order_by("name"):
        document = facts.readable_document(policy)
        if document is not None:
            yield policy, document, [one for one in policy.clusters.all() if (policy.pk, one.pk) in pairs]


def _of_policy(
    policy: AccessPolicy,
    document: PolicyDocument,
    clusters: Sequence[Cluster],
    target: str | None,
    question: Question | None,
) -> Iterator[Offer]:
    for command_set in policy.command_sets.all():
        fitting = [one for one in clusters if commands_of(one.kind) == command_set.kind]
        version = command_set.published
        fit = _fit(version, question) if version is not None and fitting else None
        for cluster in fitting if fit is not None else ():
            names = tuple(one.name for one in cluster.targets.all() if target in (None, one.name))
            if fit is not None and names:
                yield _offer(cluster, names, policy, document, fit)


@dataclass(frozen=True, slots=True)
class _Fit:
    document: CommandSetDocument
    parameters: dict[str, str]
    effect: str | None


def _fit(version: CommandSetVersion, question: Question | None) -> _Fit | None:
    """Return how a command set allows the command or question, with the resulting parameters; None if it does
    not.
    """
    try:
        document = document_of(version)
        if question is None:
            return _Fit(document, {}, None)
        answer = question(compiled_open(version))
    except (DocumentError, CompileError):
        return None
    if not isinstance(answer, Allowed):
        return None
    given = {name: value for name, value in answer.matched.items() if name in document.parameters}
    return _Fit(document, given, answer.effect)


def _offer(
    cluster: Cluster, targets: tuple[str, ...], policy: AccessPolicy, terms: PolicyDocument, fit: _Fit
) -> Offer:
    missing = [
        free_parameter(name, type_)
        for name, type_ in fit.document.parameters.items()
        if name not in fit.parameters and type_.source is None
    ]
    return Offer(
        cluster=cluster.name,
        kind=cluster.kind,
        targets=targets,
        command_set=fit.document.name,
        summary=fit.document.summary,
        policy=policy.name,
        approvals=sum(clause.count for clause in terms.clauses),
        longest=terms.max_duration,
        reason_required=terms.reason == "required",
        parameters=fit.parameters,
        missing=tuple(missing),
        effect=fit.effect,
    )
