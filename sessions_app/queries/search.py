"""Search for objects by part of their names."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast

from accounts.models import Identity
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandRun,
    CommandSet,
    CommandSetVersion,
    Grant,
    Target,
    Workflow,
)
from sessions_app.policy import references
from sessions_app.policy.commands.answers import CommandView, CompileError
from sessions_app.policy.commands.kinds import describe
from sessions_app.policy.documents import DocumentError
from sessions_app.queries.catalog.command_sets import compiled_open
from sessions_app.queries.identities.people import known_if, sees_others
from sessions_app.queries.statements.composed import Listed, Tabled
from sessions_app.queries.statements.related_names import with_names

MOST = 10
MANY = 200
# Only this many of the newest workflows are searched by title.
MOST_WORK = 2000
# Only this many of the newest runs are searched.
MOST_RUNS = 5_000
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a published command set, as listed."""

    command_set: CommandSet
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """The search results that the reader may see."""

    clusters: Sequence[Cluster]
    command_sets: Sequence[CommandSet]
    policies: Sequence[AccessPolicy]
    people: Sequence[Identity]
    requests: Sequence[AccessRequest]
    grants: Sequence[Grant]
    workflows: Sequence[Workflow]
    commands: Sequence[Command]
    runs: Sequence[CommandRun]

    def __bool__(self) -> bool:
        catalog = (self.clusters, self.command_sets, self.policies)
        return any(
            (*catalog, self.people, self.requests, self.grants, self.workflows, self.commands, self.runs)
        )


def exact(identity: Identity, text: str) -> AccessRequest | Grant | Workflow | None:
    """Return the request, grant or workflow with this reference, if the reader can see it."""
    ref = references.spelled(text)
    if number := references.request_number(ref):
        return AccessRequest.objects.visible_to(identity).filter(number=number).first()
    if re.fullmatch(references.GRANT, ref):
        return Grant.objects.visible_to(identity).filter(ref=ref).first()
    if re.fullmatch(references.WORKFLOW, ref):
        return Workflow.objects.visible_to(identity).filter(ref=ref).order_by("-pk").first()
    return None


def search(identity: Identity, text: str, now: dt.datetime, *, runs: bool = True) -> Found:
    """Return the objects that match the text. Without ``runs``, attempted commands are not searched.

    The text matches anywhere in the names of clusters, command sets, policies and people, in titles of
    workflows, in listed commands, and in attempted commands. It matches at the beginning of references and
    tickets. The newest requests and grants of matching people and targets are also found. Names that begin
    with the text come first.
    """
    known = _people(identity.is_superuser or sees_others(identity))
    people = _read(known, identity, now, text=text)
    targets = [pk for (pk,) in _read(_TARGETS, identity, now, text=text)]
    return Found(
        clusters=_read(_CLUSTERS, identity, now, text=text),
        command_sets=_read(_COMMAND_SETS, identity, now, text=text),
        policies=_read(_POLICIES, identity, now, text=text),
        people=people,
        requests=_requests(identity, text, people),
        grants=_grants(identity, text, people, targets),
        workflows=_read(_WORKFLOWS, identity, now, text=text),
        commands=_commands(identity, text, now),
        runs=_runs(identity, text) if runs else [],
    )


def _read(rows: Listed[Any], identity: Identity, now: dt.datetime, **values: str) -> list[Any]:
    """Return the rows. A token that is bound to a workflow needs statements of its own."""
    return list(rows.compose(identity, now, **values)) if identity.bound_to else rows(identity, now, **values)


def _named(text: str) -> Q:
    """Return the condition that a name contains the text.

    Here and below, the text is a value of the statement itself: Django would put it into a pattern.
    """
    return Q(name__icontains=Value(text))


def _others(text: str, name: str = "name") -> Case:
    """Sort names that begin with the text before others."""
    return Case(When(**{f"{name}__istartswith": Value(text)}, then=Value(0)), default=Value(1))


@functools.cache
def _people(sees: bool) -> Listed[Identity]:  # a key
    def compose(reader: Identity, _: dt.datetime, text: str) -> QuerySet[Identity]:
        found = known_if(reader, sees=sees).filter(_named(text) | Q(username__icontains=Value(text)))
        return found.order_by(_others(text, "username"), "username")[:MOST]

    return Listed(compose, text=str)


def _targets(_: Identity, __: dt.datetime, text: str) -> QuerySet[Target, Any]:
    return Target.objects.filter(_named(text)).order_by("name")[:MANY].values_list("pk")


def _clusters(reader: Identity, _: dt.datetime, text: str) -> QuerySet[Cluster]:
    by_target = Q(pk__in=Target.objects.filter(_named(text)).values("cluster"))
    found = Cluster.objects.live().visible_to(reader).filter(_named(text) | by_target)
    return found.order_by(_others(text), "name")[:MOST]


def _command_sets(reader: Identity, _: dt.datetime, text: str) -> QuerySet[CommandSet]:
    found = CommandSet.objects.live().visible_to(reader).filter(_named(text))
    return found.order_by(_others(text), "name")[:MOST]


def _policies(reader: Identity, _: dt.datetime, text: str) -> QuerySet[AccessPolicy]:
    found = AccessPolicy.objects.live().visible_to(reader).filter(_named(text))
    return found.distinct().order_by(_others(text), "name")[:MOST]


def _workflows(reader: Identity, _: dt.datetime, text: str) -> QuerySet[Workflow]:
    newest = Workflow.objects.visible_to(reader).order_by("-pk").values("pk")[:MOST_WORK]
    fits = Q(title__icontains=Value(text)) | Q(ref__istartswith=Value(text))
    return Workflow.objects.filter(fits, pk__in=newest).order_by("-pk")[:MOST]


_TARGETS = Tabled(_targets, text=str)
_CLUSTERS = Listed(_clusters, text=str)
_COMMAND_SETS = Listed(_command_sets, text=str)
_POLICIES = Listed(_policies, text=str)
_WORKFLOWS = Listed(_workflows, text=str)
_ALL_SETS = Listed(
    lambda reader, _: (
        CommandSet.objects.live().visible_to(reader).order_by("name").prefetch_related("versions")
    )
)


def _commands(identity: Identity, text: str, now: dt.datetime) -> list[Command]:
    """Return the commands of published command sets that contain the text, in the format for pages."""
    listed = (
        Command(one, view.text)
        for one in _read(_ALL_SETS, identity, now)
        if one.published is not None
        for view in _views(one.published)
        if text.casefold() in view.text.casefold()
    )
    return list(islice(listed, MOST))


def _views(version: CommandSetVersion) -> Sequence[CommandView]:
    try:
        return describe(compiled_open(version))
    except (DocumentError, CompileError):
        return ()


def _runs(identity: Identity, text: str) -> list[CommandRun]:
    """Return the newest runs that contain the text, either in the line as typed or in the arguments sent to
    the target, regardless of quoting.
    """
    newest = CommandRun.objects.order_by("-pk").values_list("pk", flat=True)
    floor = newest[MOST_RUNS - 1 : MOST_RUNS].first()
    near = CommandRun.objects.filter(pk__gte=floor) if floor else CommandRun.objects.all()
    # In the format in which the database stores a list of strings.
    words = '", "'.join(json.dumps(word, ensure_ascii=False)[1:-1] for word in text.split())
    near = near.annotate(words=Cast("argv", TextField()))
    found = near.filter(Q(line__icontains=text) | Q(words__icontains=words)).visible_to(identity)
    return list(found.select_related("grant__holder", "target__cluster").order_by("-pk")[:MOST])


def _requests(identity: Identity, text: str, people: Sequence[Identity]) -> list[AccessRequest]:
    visible = AccessRequest.objects.visible_to(identity)
    # Ordered by an expression, so that the database does not scan all requests by number until it has found
    # enough matches.
    by_ticket = visible.exclude(ticket="").filter(ticket__istartswith=text).order_by(0 - F("number"))
    by_person = visible.filter(requester__in=[person.pk for person in people]).order_by("-number")
    by_number = [visible.filter(number=int(text))] if _NUMBER.fullmatch(text) else []
    ids = _ids(by_ticket, by_person, *by_number)
    found = with_names(AccessRequest.objects.filter(pk__in=ids)) if ids else []
    return sorted(found, key=lambda request: (str(request.number) != text, -request.number))[:MOST]


def _grants(identity: Identity, text: str, people: Sequence[Identity], targets: Sequence[int]) -> list[Grant]:
    visible = Grant.objects.visible_to(identity).order_by("-pk")
    within = references.grants_beginning(text)
    by_ref = [visible.filter(ref__range=within)] if within else []
    by_person = visible.filter(holder__in=[person.pk for person in people])
    used = Grant.targets.through.objects.filter(grant_id=OuterRef("pk"), target_id__in=targets)
    by_target = [visible.filter(Exists(used))] if targets else []
    ids = _ids(by_person, *by_ref, *by_target)
    return list(with_names(Grant.objects.filter(pk__in=ids)).order_by("-pk")[:MOST]) if ids else []


def _ids(first: QuerySet[Any], *others: QuerySet[Any]) -> set[int]:
    """Return the ids of the first rows of each list, from one statement. They are read in full afterwards,
    and only once.

    The lists are separate queries, because each has an index, but an OR of them has none.
    """
    parts = [rows.values_list("pk", flat=True)[:MOST] for rows in others]
    return set(first.values_list("pk", flat=True)[:MOST].union(*parts, all=True))
