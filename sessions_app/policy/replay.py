"""Replay past requests under the current rules and under those of a draft."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sessions_app.policy.case import Case
from sessions_app.policy.decision import Decision, Outcome
from sessions_app.policy.evaluate import evaluate
from sessions_app.policy.policies import PolicyDocument, Who
from sessions_app.policy.rules import Ask, Facts, WorkflowFacts
from sessions_app.policy.steps import Step

# Returns the groups of each person who could approve, without the requester.
Approvers = Callable[["PastRequest"], tuple[frozenset[str], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request as it was submitted.

    ``by_cluster`` means that the cluster itself allows the requester to request access, under any policy.
    ``workflow`` is the workflow that the request names.
    """

    ref: str
    at: dt.datetime
    ask: Ask
    state: str = ""
    by_cluster: bool = False
    is_person: bool = True
    is_known: bool = True
    workflow: WorkflowFacts | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A request that the draft decides differently."""

    past: PastRequest
    before: Decision
    after: Decision


def named(who: Who, username: str, groups: Iterable[str]) -> bool:
    """Whether a list of groups and identities includes this identity."""
    spelled = {unicodedata.normalize("NFKC", one).strip().casefold() for one in who.identities}
    return username in spelled or not frozenset(groups).isdisjoint(who.groups)


def replay(
    pasts: Iterable[PastRequest], *, before: PolicyDocument, after: PolicyDocument, approvers: Approvers
) -> Iterator[Changed]:
    """Yield the requests whose decision differs between ``before`` and ``after``, in order."""
    for past in pasts:
        one, other = (
            evaluate(_case_then(past, document, approvers), Step.REQUEST) for document in (before, after)
        )
        if _needs(one) != _needs(other):
            yield Changed(past, one, other)


def _needs(decision: Decision) -> tuple[Outcome, frozenset[tuple[int, frozenset[str]]]]:
    """Return the parts of a decision to compare: the outcome, and any required approvals."""
    waits = decision.outcome is Outcome.NEEDS_APPROVAL
    clauses = decision.clauses if waits else ()
    return decision.outcome, frozenset((clause.count, frozenset(clause.groups)) for clause in clauses)


def _case_then(past: PastRequest, document: PolicyDocument, approvers: Approvers) -> Case:
    """Return the case at the time of the request. A stored request passed all rules, so any fact that a rule
    would refuse is replaced by an acceptable one.
    """
    ask = past.ask
    facts = Facts(
        now=past.at,
        requester_enabled=True,
        may_request=past.by_cluster or named(document.requesters, ask.requester, ask.requester_groups),
        policy_live=True,
        cluster_live=True,
        command_set_published=True,
        targets_live=True,
        sweeper_silence=0.0,
        overdue_reviews=(),
        approvers=approvers(past),
        workflow_open=bool(ask.workflow or ask.incident),
        workflow_on_cluster=bool(ask.workflow or ask.incident),
        workflow=past.workflow if ask.workflow else None,
        kinds_fit=True,
        is_person=past.is_person,
        is_known=past.is_known,
    )
    return Case(ask=ask, facts=facts, policy=document)
