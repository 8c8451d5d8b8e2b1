"""Who can run a command on a cluster: now with active grants, or after a request under a policy."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from accounts.models import Identity
from sessions_app.connectors.registry import commands_of
from sessions_app.models import (
    AccessPolicy,
    Cluster,
    CommandSetVersion,
    Grant,
    GrantState,
)
from sessions_app.policy.commands.answers import Allowed, CompiledSet, Refused
from sessions_app.policy.commands.kinds import compile_open, decide
from sessions_app.policy.documents import DocumentError
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.windows import covering, upcoming
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.identities.people import known_if, sees_others
from sessions_app.queries.identities.permissions import Way, who_may
from sessions_app.queries.requests import facts
from sessions_app.queries.statements.composed import Listed, Tabled, among, tabled
from sessions_app.queries.statements.related_names import with_names
from sessions_app.web.display.states import Look, plural
from sessions_app.web.identities.people_page import urgency
from sessions_app.web.identities.who_can_form import POLICIES

MOST_GRANTS = 500
MOST_SHOWN = 50
MOST_PEOPLE = 100


@dataclass(frozen=True, slots=True)
class Now:
    """A grant whose holder can run the command now. ``hold``: each run needs a second person's approval."""

    grant: Grant
    hold: bool
    matched: str
    urgency: Look | None


@dataclass(frozen=True, slots=True)
class Asker:
    """An identity that can request the command, how, and whether as break-glass access. ``known`` means that
    the reader can open the identity's page.
    """

    identity: Identity
    ways: Sequence[Way]
    glass: bool
    known: bool

    @property
    def how(self) -> str:
        """The ways in which the identity can request the command: `group operators; by name, can use
        break-glass access`.
        """
        return "; ".join(map(str, self.ways)) + (", can use break-glass access" if self.glass else "")


@dataclass(frozen=True, slots=True)
class Asking:
    """A policy with a command set that allows the command: the required approvals, who can request access,
    and what currently prevents it.
    """

    policy: AccessPolicy
    command_set: str
    price: str
    glass_price: str
    needs: str
    hold: bool
    against: str
    people: Sequence[Asker]
    more: int


@dataclass(frozen=True, slots=True)
class Miss:
    """A command set that doesn't allow the command: the reason, and the closest allowed command."""

    command_set: str
    policies: Sequence[str]
    reason: str
    nearest: str


@dataclass(frozen=True, slots=True)
class WhoCan:
    """The answer: the grants that end soonest. ``more`` counts grants that are not listed. ``unread`` means
    that there were too many grants to check all of them.
    """

    now: Sequence[Now]
    more: int
    asking: Sequence[Asking]
    misses: Sequence[Miss]
    unread: bool

    @property
    def left_out(self) -> Sequence[str]:
        """Sentences about what is not listed or checked."""
        found = []
        if self.more:
            found.append(f"{plural(self.more, 'more grant')} {'ends' if self.more == 1 else 'end'} later.")
        if self.unread:
            found.append(f"Only the {MOST_GRANTS} grants that end soonest were checked.")
        return [*found, "Choose a target to check fewer grants."] if found else []


@dataclass(frozen=True, slots=True)
class _Crowd:
    """The identities that can request anything on the cluster. ``known`` are those whose pages the reader can
    open.
    """

    identities: dict[int, Identity]
    known: frozenset[int]

    def asker(self, pk: int, ways: Sequence[Way], glass: Sequence[str]) -> Asker:
        """Return one of these identities with the ways it can request access. ``glass`` contains the groups
        that may use break-glass access.
        """
        identity = self.identities[pk]
        groups = {group.name for group in identity.groups.all()}
        return Asker(identity, ways, bool(groups.intersection(glass)), pk in self.known)


def _crowd(ids: Collection[int], reader: Identity, now: dt.datetime) -> _Crowd:
    there = _ACTIVE(reader, now, people=list(ids)) if ids else ()
    known = _known(reader.is_superuser or sees_others(reader))(reader, now, people=list(ids)) if ids else ()
    return _Crowd({identity.pk: identity for identity in there}, frozenset(pk for (pk,) in known))


_ACTIVE = Listed(
    lambda _, __, people: (
        Identity.objects.active()
        .filter(among("pk", people))
        .select_related("owner")
        .prefetch_related("groups")
    ),
    people=list,
)


@functools.cache
def _known(sees: bool) -> Tabled:  # a key
    return Tabled(
        lambda reader, _, people: known_if(reader, sees=sees).filter(among("pk", people)).values_list("pk"),
        people=list,
    )


def who_can(
    cluster: Cluster,
    reader: Identity,
    now: dt.datetime,
    *,
    target: str = "",
    line: str = "",
    command_set: str = "",
) -> WhoCan:
    """Return who can run the command line, or who has or can request the command set, on the cluster or one
    of its targets.

    The decisions use the gateway's own function. Only grants and policies that the reader can see count.
    """
    live = tabled(_live, cluster.pk, target, command_set, _WHAT if line else ("pk",))
    grants = live(reader, now)
    answers = _answers(grants[:MOST_GRANTS], line)
    policies = POLICIES(reader, now, cluster=cluster.pk)
    asking, misses = _by_asking(policies, cluster, reader, now, line, command_set)
    return WhoCan(
        now=_shown(answers, reader, now),
        more=max(0, len(answers) - MOST_SHOWN),
        asking=asking,
        misses=misses,
        unread=len(grants) > MOST_GRANTS,
    )


def _live(
    reader: Identity,
    now: dt.datetime,
    cluster: int,
    target: str,
    command_set: str,
    columns: Sequence[str],
) -> QuerySet[Grant, Any]:
    found = Grant.objects.visible_to(reader).filter(
        cluster=cluster,
        state=GrantState.ACTIVE,
        starts_at__lte=now,
        expires_at__gt=now,
        holder__in=Identity.objects.active(),
    )
    if target:
        found = found.filter(
            pk__in=Grant.targets.through.objects.filter(
                target__name=target, target__cluster=cluster, target__removed_at__isnull=True
            ).values("grant_id")
        )
    if command_set:
        found = found.filter(command_set_version__command_set__name=command_set)
    return found.order_by("expires_at", "pk").values_list(*columns)[: MOST_GRANTS + 1]


# Read only the columns that a decision on a line needs. The listed grants are later read in full.
_WHAT = (
    "pk",
    "command_set_version",
    "command_set_version__digest",
    "parameters",
    "commands",
)


def _answers(grants: Sequence[tuple[Any, ...]], line: str) -> dict[int, tuple[bool, str]]:
    """Return the grants that allow the line, or all without one, by id: whether the command is held, and the
    parameter values in it.
    """
    if not line:
        return {pk: (False, "") for pk, *_ in grants}
    found: dict[int, tuple[bool, str]] = {}
    known: dict[str, Allowed | None] = {}
    for pk, version, digest, parameters, kept in grants:
        same = f"{digest} {parameters} {kept}"
        if same not in known:
            known[same] = _allowed(version, digest, parameters, kept, line)
        if (answer := known[same]) is not None:
            found[pk] = (answer.hold, _values(answer))
    return found


def _allowed(
    version: int, digest: str, parameters: dict[str, str], kept: list[int], line: str
) -> Allowed | None:
    try:
        answer = decide(commands.compiled_by_digest(version, digest, parameters, kept), line)
    except ValueError:
        return None  # The gateway also refuses a version that can't be read.
    return answer if isinstance(answer, Allowed) else None


_GRANTS = Listed(
    lambda _, __, grants: (
        with_names(Grant.objects.filter(among("pk", grants)))
        .select_related("holder__owner")
        .order_by("expires_at", "pk")
    ),
    grants=list,
)


def _shown(answers: dict[int, tuple[bool, str]], reader: Identity, now: dt.datetime) -> list[Now]:
    grants = _GRANTS(reader, now, grants=list(answers)[:MOST_SHOWN]) if answers else ()
    return [Now(grant, *answers[grant.pk], urgency(grant)) for grant in grants]


def _values(answer: Allowed) -> str:
    return ", ".join(f"{name} is {value}" for name, value in answer.matched.items())


def _by_asking(
    policies: Sequence[AccessPolicy],
    cluster: Cluster,
    reader: Identity,
    now: dt.datetime,
    line: str,
    wanted: str,
) -> tuple[list[Asking], list[Miss]]:
    people = who_may("request", policies, cluster.pk, cluster.name)
    crowd = _crowd({pk for who in people.values() for pk in who}, reader, now)
    asking: list[Asking] = []
    misses: dict[str, Miss] = {}
    fitting = commands_of(cluster.kind)
    for policy in policies:
        try:
            document = facts.policy_document(policy)
        except facts.Unreadable:
            continue  # An unreadable policy allows nothing.
        for command_set in policy.command_sets.all():
            version = command_set.published
            if version is None or command_set.kind != fitting or (wanted and command_set.name != wanted):
                continue
            answer = _answer(version, line)
            if isinstance(answer, Refused):
                earlier = misses.get(command_set.name)
                names = (*(earlier.policies if earlier else ()), policy.name)
                misses[command_set.name] = Miss(command_set.name, names, answer.reason, answer.nearest or "")
                continue
            asking.append(
                _asking(policy, document, command_set.name, version, answer, people[policy.pk], crowd, now)
            )
    return asking, sorted(misses.values(), key=lambda miss: (not miss.nearest, miss.command_set))


def _answer(version: CommandSetVersion, line: str) -> Allowed | Refused | None:
    """Return the version's decision on the line with any allowed parameter values; None without a line."""
    if not line:
        return None
    try:
        compiled: CompiledSet = compile_open(commands.document_of(version))
    except DocumentError:
        return Refused("this version can't be read, so it allows nothing", None, "program")
    return decide(compiled, line)


def _asking(
    policy: AccessPolicy,
    document: PolicyDocument,
    name: str,
    version: CommandSetVersion,
    answer: Allowed | None,
    people: dict[int, list[Way]],
    crowd: _Crowd,
    now: dt.datetime,
) -> Asking:
    terms = document.break_glass
    there = {pk: ways for pk, ways in people.items() if pk in crowd.identities}
    askers = sorted(
        (crowd.asker(pk, ways, terms.groups if terms else ()) for pk, ways in there.items()),
        key=lambda asker: asker.identity.username,
    )
    bound = set(version.document.get("parameters", ()))
    needs = (
        ", ".join(f"{key} = {value}" for key, value in answer.matched.items() if key in bound)
        if answer
        else ""
    )
    return Asking(
        policy=policy,
        command_set=name,
        price=price(document),
        glass_price=f"immediately, up to {say_duration(terms.max_duration)}" if terms else "",
        needs=needs,
        hold=bool(answer and answer.hold),
        against=against(document, now),
        people=askers[:MOST_PEOPLE],
        more=max(0, len(askers) - MOST_PEOPLE),
    )


def price(document: PolicyDocument) -> str:
    """Return the approvals that a request needs, and the longest duration: `2 approvals, up to 4 h`."""
    count = sum(clause.count for clause in document.clauses)
    many = plural(count, "approval") if count else "no approval"
    return f"{many}, up to {say_duration(document.max_duration)}"


def against(document: PolicyDocument, now: dt.datetime) -> str:
    """Return what currently prevents planned access: a freeze, or the lack of an open window. Empty if
    nothing does.
    """
    soon = now + dt.timedelta(seconds=1)
    freeze = next((freeze for freeze in document.freezes if freeze.touches(now, soon)), None)
    if freeze is not None:
        return f"frozen: {freeze.reason}"
    if document.windows is not None and not covering(document.windows, now, soon):
        return "no window is open" if upcoming(document.windows, now, 1) else "no window is scheduled"
    return ""
