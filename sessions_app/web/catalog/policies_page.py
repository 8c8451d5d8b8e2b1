"""Data for the policy pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

import yaml
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from accounts.models import Identity
from sessions_app.models import AccessPolicy, requestable
from sessions_app.policy.catalog import read_policy
from sessions_app.policy.documents import DocumentError, Problem
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import HoldAnswers, Incident, PolicyDocument, Who
from sessions_app.policy.windows import is_cut_off, upcoming
from sessions_app.queries.requests import facts
from sessions_app.web.display.states import Linked, plural

_DAYS = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}


class Sentence(NamedTuple):
    """One statement of a policy, in plain language."""

    icon: str
    text: str


def _list(names: Sequence[str], last: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def policies(reader: Identity) -> QuerySet[AccessPolicy]:
    """Return the policies that the reader can see, sorted by name."""
    found = AccessPolicy.objects.live().visible_to(reader).distinct()
    return found.prefetch_related("clusters", "command_sets").order_by("name")


def sentences(document: PolicyDocument) -> list[Sentence]:
    """Return a policy as plain sentences: who can request what, when, and with which approvals."""
    found = [
        Sentence("people", f"{_people(document.requesters)} can request access."),
        Sentence("cmd", f"For {_list(document.command_sets, 'or')} on {_list(document.clusters, 'or')}."),
        Sentence(
            "clock",
            f"For up to {say_duration(document.max_duration)}, starting up to"
            f" {say_duration(document.max_horizon)} in advance.",
        ),
        Sentence("stamp", _approvals(document)),
    ]
    if document.confirmation:
        found.append(Sentence("key", "Approvers confirm their identity before they approve."))
    found += [Sentence("bell", text) for text in _notifying(document)]
    if document.reason == "required":
        found.append(Sentence("ask", "A reason is required."))
    if document.ticket is not None:
        found.append(Sentence("ticket", f"A ticket matching {document.ticket} is required."))
    found += [Sentence("gantt", _window(window)) for window in document.windows or ()]
    found += [
        Sentence("lock", f"Frozen from {_moment(freeze.start)} to {_moment(freeze.end)}: {freeze.reason}.")
        for freeze in document.freezes
    ]
    found.append(Sentence("plus", _extension(document)))
    if document.incident:
        found.append(Sentence("alert", _incident(document)))
    found.append(Sentence("stop", _deviations(document)))
    if document.hold_answers:
        found.append(Sentence("pause", _hold_answers(document.answers)))
    if document.break_glass:
        terms = document.break_glass
        found.append(
            Sentence(
                "flame",
                f"Break-glass access: {_list(terms.groups, 'or')} can start immediately, for up to"
                f" {say_duration(terms.max_duration)}. Someone else reviews it within"
                f" {say_duration(terms.review_within)}.",
            )
        )
    if document.viewers:
        found.append(
            Sentence("eye", f"{_people(document.viewers)} can view requests and grants under this policy.")
        )
    who_sets_up = _people(document.administrators) if document.administrators else "Stint administrators"
    found.append(Sentence("policy", f"{who_sets_up} can change this policy and end grants under it."))
    return found


def _people(who: Who) -> str:
    """Return the people as the subject of a sentence: `People and machines in operators and zoe`."""
    names = [*(f"people and machines in {group}" for group in who.groups), *who.identities]
    text = _list(names)
    return text[:1].upper() + text[1:] if who.groups else text


def _incident(document: PolicyDocument) -> str:
    terms = document.incident
    if terms is None:
        return ""
    same = terms.approvals == "same" and bool(document.clauses)
    when = "can request access with the same approvals" if same else "can start immediately"
    return (
        f"While an incident is open on the cluster, {_list(terms.on_call, 'or')} {when}, for up to"
        f" {say_duration(terms.max_duration)}. Windows and freezes don't apply, and access ends with the"
        f" incident. {_own(terms, same=same)}"
    )


def _own(terms: Incident, *, same: bool) -> str:
    if terms.own == "forbid":
        return "People who opened or last changed the incident, or may have done so, get no access for it."
    if same:
        return "A machine gets no access for an incident that it may have opened or changed."
    return (
        "People who opened or last changed the incident, or may have, must give a reason, and someone else"
        f" reviews it within {say_duration(terms.review_within)}. A machine gets no access for such an"
        " incident."
    )


def _approvals(document: PolicyDocument) -> str:
    if not document.clauses:
        return "No approval needed. Access starts immediately."
    parts = [f"{clause.count} from {_list(clause.groups, 'or')}" for clause in document.clauses]
    total = sum(clause.count for clause in document.clauses)
    return (
        f"Needs {plural(total, 'approval')} within {say_duration(document.decision_time)}: {_list(parts)}. "
        "No one can approve their own request. A single denial rejects a request."
    )


def _notifying(document: PolicyDocument) -> list[str]:
    """Return sentences about who is notified, in order. Default settings are not mentioned."""
    found = []
    if document.notify and document.notify.first:
        found.append(f"Approvers notified first: {_list(document.notify.first)}.")
    if document.notify and document.notify.webhooks:
        found.append(f"Webhooks notified: {_list(document.notify.webhooks)}.")
    for step in document.escalation:
        notified = [*step.notify.groups, *(f"the webhook {name}" for name in step.notify.webhooks)]
        found.append(
            f"After {say_duration(step.after)} without a decision, Stint notifies {_list(notified)}."
        )
    return found


def _window(window: Any) -> str:
    days = _list([_DAYS[day] for day in window.days])
    return f"Only on {days}, {window.start:%H:%M} to {window.end:%H:%M}, {window.zone}."


def _moment(moment: dt.datetime) -> str:
    return f"{date_format(timezone.localtime(moment), 'j F Y')} {timezone.localtime(moment):%H:%M %Z}"


def _extension(document: PolicyDocument) -> str:
    if document.extension is None:
        return "Can't be extended."
    terms = document.extension
    needs = (
        "with the same approvals" if terms.approvals == "same" and document.clauses else "without approval"
    )
    times = "once" if terms.times == 1 else f"{terms.times} times"
    return f"Can be extended {times} by up to {say_duration(terms.by)}, {needs}."


def _hold_answers(answers: HoldAnswers) -> str:
    often = f"up to {answers.times} times" if answers.times > 1 else "only once"
    rest = ", or for the rest of the grant if it is a tool call" if answers.grant else ""
    return f"An approver can allow a held command {often}{rest}."


def _deviations(document: PolicyDocument) -> str:
    machines, people = document.deviations_of(person=False), document.deviations_of(person=True)
    what = "is suspended until an approver resumes it" if people.people == "hold" else "ends"
    return (
        f"After {machines.limit} refused commands, a machine's access ends. "
        f"After {people.limit}, a person's access {what}."
    )


@dataclass(frozen=True, slots=True)
class PolicyPage:
    """The page of one policy for one reader."""

    policy: AccessPolicy
    document: PolicyDocument
    sentences: Sequence[Sentence]
    windows: Sequence[tuple[dt.datetime, dt.datetime]]
    may_ask: bool
    may_simulate: bool
    may_set_up: bool
    clusters: Sequence[Linked]
    command_sets: Sequence[Linked]

    @property
    def ask_query(self) -> str:
        """The query that prefills the request form."""
        first = {"cluster": self.document.clusters[:1], "set": self.document.command_sets[:1]}
        return urlencode({"policy": self.policy.name, **first}, doseq=True)


def policy_page(policy: AccessPolicy, reader: Identity, now: dt.datetime) -> PolicyPage:
    """Return a policy as plain sentences, with its next windows."""
    document = facts.policy_document(policy)
    own = AccessPolicy.objects.filter(pk=policy.pk)
    return PolicyPage(
        policy=policy,
        document=document,
        sentences=sentences(document),
        windows=_next_windows(document, now, 5),
        may_ask=requestable(reader).filter(accesspolicy=policy).exists(),
        may_simulate=own.filter(pk__in=simulated_by(reader).values("pk")).exists(),
        may_set_up=own.administered_by(reader).exists(),
        clusters=[Linked(name, reverse("cluster", args=[name])) for name in document.clusters],
        command_sets=[Linked(name, reverse("command_set", args=[name])) for name in document.command_sets],
    )


def simulated_by(reader: Identity) -> QuerySet[AccessPolicy]:
    """Return the policies that the reader can simulate for other people. People who can only request access
    see the outcome in the request form.
    """
    live = AccessPolicy.objects.live()
    if reader.is_superuser:
        return live
    return live.held_by(reader, "view", "approve", "administer")


@dataclass(frozen=True, slots=True)
class CheckedPolicy:
    """The result of checking a policy before saving: its sentences and windows, or the reason why it can't be
    parsed.
    """

    problems: Sequence[Problem] = ()
    document: PolicyDocument | None = None
    sentences: Sequence[Sentence] = ()
    windows: Sequence[tuple[dt.datetime, dt.datetime]] = ()


def check_source(source: str, now: dt.datetime) -> CheckedPolicy:
    """Check a document. Nothing is saved."""
    try:
        document = read_policy(source)
    except DocumentError as error:
        return CheckedPolicy(problems=error.problems)
    return CheckedPolicy(
        document=document,
        sentences=sentences(document),
        windows=_next_windows(document, now, 3),
    )


def _next_windows(
    document: PolicyDocument, now: dt.datetime, most: int
) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return the next windows. A window that doesn't close within the listed period is left out."""
    return [one for one in upcoming(document.windows or (), now, most) if not is_cut_off(one, now)]


def text_of(policy: AccessPolicy) -> str:
    """Return a policy's source text; if there is none, its document as YAML."""
    return policy.source or yaml.safe_dump(policy.document, sort_keys=False, allow_unicode=True, width=200)
