"""Policies, as those who may see them read them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format

from accounts.models import Identity
from sessions_app.models import AccessPolicy, requestable
from sessions_app.policy.catalogue import read_policy
from sessions_app.policy.documents import DocumentError, Problem
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import Incident, PolicyDocument, Who
from sessions_app.policy.windows import upcoming
from sessions_app.queries import facts

_DAYS = {"mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday",
         "sat": "Saturday", "sun": "Sunday"}  # fmt: skip


class Sentence(NamedTuple):
    """One thing that a policy says, in plain words."""

    icon: str
    text: str


def _list(names: Sequence[str], last: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def sentences(document: PolicyDocument) -> list[Sentence]:
    """Return a policy in plain sentences, in the order in which people ask."""
    found = [
        Sentence("people", f"{_people(document.requesters)} may ask."),
        Sentence("cmd", f"For {_list(document.command_sets, 'or')}, on {_list(document.clusters, 'or')}."),
        Sentence(
            "clock",
            f"For at most {say_duration(document.max_duration)}, starting at most {say_duration(document.max_horizon)} ahead.",
        ),
        Sentence("stamp", _approvals(document)),
    ]
    found += [Sentence("bell", text) for text in _telling(document)]
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
    if document.incident:
        found.append(Sentence("alert", _incident(document)))
    found.append(Sentence("stop", _deviations(document)))
    if document.break_glass:
        terms = document.break_glass
        found.append(
            Sentence(
                "flame",
                f"In an emergency {_list(terms.groups, 'or')} may start at once, for at most {say_duration(terms.max_duration)}; somebody else reviews it within {say_duration(terms.review_within)}.",
            )
        )
    if document.viewers:
        found.append(
            Sentence("eye", f"{_people(document.viewers)} may look at what is asked and granted under it.")
        )
    who_sets_up = _people(document.administrators) if document.administrators else "Administrators of Stint"
    found.append(Sentence("policy", f"{who_sets_up} may change it and end grants under it."))
    return found


def _people(who: Who) -> str:
    """`People and machines in operators and zoe`, at the beginning of a sentence."""
    names = [*(f"people and machines in {group}" for group in who.groups), *who.identities]
    text = _list(names)
    return text[:1].upper() + text[1:] if who.groups else text


def _incident(document: PolicyDocument) -> str:
    terms = document.incident
    if terms is None:
        return ""
    same = terms.approvals == "same" and bool(document.clauses)
    when = "may ask with the same approvals" if same else "may start at once"
    return (
        f"While an incident is open on the cluster, {_list(terms.on_call, 'or')} {when}, for at most "
        f"{say_duration(terms.max_duration)}; windows and freezes do not count, and it ends with the incident. {_own(terms, same=same)}"
    )


def _own(terms: Incident, *, same: bool) -> str:
    if terms.own == "forbid":
        return "Who opened it gets nothing by it."
    if same:
        return "A machine gets nothing by an incident that it opened."
    return (
        "Who opened it needs a reason, and somebody else reviews it within "
        f"{say_duration(terms.review_within)}; a machine gets nothing by its own."
    )


def _approvals(document: PolicyDocument) -> str:
    if not document.clauses:
        return "No approval is needed: it starts at once."
    parts = [f"{clause.count} from {_list(clause.groups, 'or')}" for clause in document.clauses]
    total = sum(clause.count for clause in document.clauses)
    word = "approval is" if total == 1 else "approvals are"
    return f"{total} {word} needed: {_list(parts)}, within {say_duration(document.decision_time)}. One's own never counts; one denial ends it."


def _telling(document: PolicyDocument) -> list[str]:
    """Who is told, in order: what the policy says, and nothing where it leaves that to Stint."""
    found = []
    if document.notify and document.notify.first:
        found.append(f"Of those who decide, {_list(document.notify.first)} are told first.")
    if document.notify and document.notify.webhooks:
        found.append(f"The webhooks {_list(document.notify.webhooks)} are told of what happens under it.")
    for step in document.escalation:
        told = [*step.notify.groups, *(f"the webhook {name}" for name in step.notify.webhooks)]
        found.append(f"When nobody has answered for {say_duration(step.after)}, {_list(told)} are told.")
    return found


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
    times = "once" if terms.times == 1 else f"{terms.times} times"
    return f"It can be extended {times} by up to {say_duration(terms.by)}, {needs}."


def _deviations(document: PolicyDocument) -> str:
    machines, people = document.deviations_of(person=False), document.deviations_of(person=True)
    what = "held until an approver says that it may go on" if people.people == "hold" else "ended"
    after = f"after {people.limit} " if people.limit != machines.limit else ""
    return (
        f"After {machines.limit} refused tries a machine's access is ended, and {after}a person's is {what}."
    )


@dataclass(frozen=True, slots=True)
class PolicyPage:
    """One policy for one reader."""

    policy: AccessPolicy
    document: PolicyDocument
    sentences: Sequence[Sentence]
    windows: Sequence[tuple[dt.datetime, dt.datetime]]
    may_ask: bool
    may_simulate: bool
    may_set_up: bool


def policy_page(policy: AccessPolicy, reader: Identity, now: dt.datetime) -> PolicyPage:
    """Return a policy in plain sentences, with its next windows."""
    document = facts.policy_document(policy)
    own = AccessPolicy.objects.filter(pk=policy.pk)
    return PolicyPage(
        policy=policy,
        document=document,
        sentences=sentences(document),
        windows=upcoming(document.windows, now, 5) if document.windows else [],
        may_ask=requestable(reader).filter(accesspolicy=policy).exists(),
        may_simulate=own.filter(pk__in=simulated_by(reader).values("pk")).exists(),
        may_set_up=own.administered_by(reader).exists(),
    )


def simulated_by(reader: Identity) -> QuerySet[AccessPolicy]:
    """Return the policies that the reader may try with other people: who only asks tries it by asking."""
    live = AccessPolicy.objects.live()
    if reader.is_superuser:
        return live
    return live.held_by(reader, "view", "approve", "administer")


@dataclass(frozen=True, slots=True)
class CheckedPolicy:
    """What a text is worth before it is saved: its sentences and windows, or why it can't be read."""

    problems: Sequence[Problem] = ()
    document: PolicyDocument | None = None
    sentences: Sequence[Sentence] = ()
    windows: Sequence[tuple[dt.datetime, dt.datetime]] = ()


def check_source(source: str, now: dt.datetime) -> CheckedPolicy:
    """Return what a text says. Nothing is saved."""
    try:
        document = read_policy(source)
    except DocumentError as error:
        return CheckedPolicy(problems=error.problems)
    return CheckedPolicy(
        document=document,
        sentences=sentences(document),
        windows=upcoming(document.windows, now, 3) if document.windows else [],
    )


def text_of(policy: AccessPolicy) -> str:
    """Return the text that a policy was written as, or, where it was not written as one, what it says."""
    return policy.source or yaml.safe_dump(policy.document, sort_keys=False, allow_unicode=True, width=200)
