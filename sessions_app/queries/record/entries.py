"""The record entries that a reader can see: those about objects that they can see, and those about their own
actions.

For a reader with few visible grants and requests, entries are selected by these objects. For a reader with
many, the newest entries are read backwards, and the object of each is looked up. In both cases, the cost
does not depend on the length of the record.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import BigIntegerField, Case, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Cast, Collate, Substr

from accounts.models import Identity, answered_for_by
from broker.audit.models import AuditEntry
from sessions_app.models import AccessPolicy, AccessRequest, Cluster, CommandSet, Grant, Workflow
from sessions_app.policy import references
from sessions_app.queries.statements.composed import Composed, values_of

FEW = 2_000
# How many entries are checked for one page if each entry must be read to determine whether it matches.
WINDOW = 20_000
# Most pages are filled by the newest entries, so these are checked first: finding the last entry of the
# window takes longer than checking them.
FIRST_WINDOW = 1_000
SIZE = 50


@dataclass(frozen=True, slots=True)
class Newest:
    """A page of entries, newest first.

    ``before`` is the entry number to continue from; None if there are no more. ``looked_to`` is the oldest
    entry that was checked, if the search stopped before the page was full.
    """

    rows: list[AuditEntry]
    before: int | None
    newer: bool = False
    looked_to: int | None = None


@dataclass(frozen=True, slots=True)
class _Sight:
    """What one identity can see: whose grants and requests, under which policies, on which clusters, and
    other objects by name.
    """

    identity: Identity
    people: Sequence[int]
    policies: Sequence[int]
    clusters: Sequence[int]
    names: dict[str, list[str]]

    def acts(self) -> Q:
        """Match the entries about the identity's own actions.

        With a token that is bound to a workflow, only the object of an entry counts.
        """
        return Q(pk__in=[]) if self.identity.bound_to else Q(actor_id=self.identity.pk)

    def grants(self) -> QuerySet[Grant]:
        """Return the same grants as ``Grant.objects.visible_to``, but selected by ids, so that indexes can be
        used.
        """
        if self.identity.bound_to:
            return Grant.objects.visible_to(self.identity)
        where = Q(policy__in=self.policies) | Q(cluster__in=self.clusters)
        return Grant.objects.filter(Q(holder__in=self.people) | where)

    def requests(self) -> QuerySet[AccessRequest]:
        """Return the same requests as ``AccessRequest.objects.visible_to``, but selected by ids."""
        if self.identity.bound_to:
            return AccessRequest.objects.visible_to(self.identity)
        where = Q(policy__in=self.policies) | Q(cluster__in=self.clusters)
        return AccessRequest.objects.filter(Q(requester__in=self.people) | where)


def visible_entries(entries: QuerySet[AuditEntry], identity: Identity) -> QuerySet[AuditEntry]:
    """Filter for the entries that the identity may see.

    Administrators see all, and everyone sees verifications. For a page of the newest entries, use
    ``newest_visible``, whose cost is bounded.
    """
    return entries if identity.is_superuser else _seen(entries, _sight(identity))


def newest_visible(
    entries: QuerySet[AuditEntry],
    identity: Identity,
    *,
    before: int | None = None,
    size: int = SIZE,
    text: str = "",
    cluster: str = "",
) -> Newest:
    """Return the newest entries that the identity can see, numbered below ``before``, that contain the text.

    With ``cluster``, only entries about the named cluster, or about grants and requests on it, count. If
    entries must be read one by one, at most 20,000 are read. The page may then be short, and ``looked_to``
    is the last entry that was checked.
    """
    newer = before is not None
    found = entries.order_by("-seq") if before is None else entries.filter(seq__lt=before).order_by("-seq")
    sight = None if identity.is_superuser else _sight(identity)
    few = _few(sight) if sight else None
    if sight and few is not None:
        return _page(_of_few(_with(found, text, cluster), sight, few, size + 1), size, newer, None)
    if sight is None and not text and not cluster:
        return _page(list(found[: size + 1]), size, newer, None)
    for window in (FIRST_WINDOW, WINDOW):
        floor = found.values_list("seq", flat=True)[window - 1 : window].first()
        near = _with(found if floor is None else found.filter(seq__gte=floor), text, cluster)
        rows = list((_seen(near, sight) if sight else near)[: size + 1])
        if len(rows) > size or floor is None:
            break
    return _page(rows, size, newer, floor)


def _page(rows: list[AuditEntry], size: int, newer: bool, floor: int | None) -> Newest:
    if len(rows) > size:
        return Newest(rows[:size], rows[size - 1].seq, newer)
    return Newest(rows, floor, newer, floor)


def _with(found: QuerySet[AuditEntry], text: str, cluster: str) -> QuerySet[AuditEntry]:
    """Filter for entries whose hashed text contains the text (JSON-escaped, ignoring case) and that are about
    the cluster.
    """
    if text:
        found = found.filter(body__icontains=json.dumps(text, ensure_ascii=False)[1:-1])
    if cluster:
        on_it = (
            Grant.objects.filter(cluster__name=cluster),
            AccessRequest.objects.filter(cluster__name=cluster),
        )
        about = Q(object_type="cluster", object_ref=cluster)
        found = _looked_up(found, "on_it", *on_it).filter(
            about | Q(on_it_grant__isnull=False) | Q(on_it_request__isnull=False)
        )
    return found


def _looked_up(
    found: QuerySet[AuditEntry], name: str, grants: QuerySet[Grant], requests: QuerySet[AccessRequest]
) -> QuerySet[AuditEntry]:
    """Look up each entry's grant or request among the given ones, by its reference.

    Within an OR, `IN` would read all of the given ones.
    """
    number = Case(
        When(
            object_type="request",
            object_ref__regex=f"^{references.REQUEST}$",
            then=Cast(Substr("object_ref", 5), BigIntegerField()),
        )
    )
    # With the collation of grant references, because their index does not work with another collation.
    label = Collate(Case(When(object_type="grant", then=F("object_ref"))), "default")
    known = found.alias(about_number=number, about_label=label)
    grant = grants.filter(ref=OuterRef("about_label")).values("pk")
    request = requests.filter(number=OuterRef("about_number")).values("pk")
    return known.alias(**{f"{name}_grant": Subquery(grant[:1]), f"{name}_request": Subquery(request[:1])})


def _sight(identity: Identity) -> _Sight:
    bound = [list(rows) for rows in _lists(identity)] if identity.bound_to else None
    found = bound or _SIGHT(identity, _ANY_TIME)
    people, policies, clusters, *names = found
    kinds = ("workflow", "cluster", "policy", "command_set", "identity")
    return _Sight(identity, people, policies, clusters, dict(zip(kinds, names, strict=True)))


def _lists(identity: Identity) -> list[QuerySet[Any, Any]]:
    """Return the columns of `_Sight`, in its order, one queryset each."""
    looks = "view", "approve", "administer"
    own = Identity.objects.filter(answered_for_by(identity)).order_by("pk")
    return [
        own.values_list("pk", flat=True),
        AccessPolicy.objects.held_by(identity, *looks).values_list("pk", flat=True),
        Cluster.objects.held_by(identity, *looks).values_list("pk", flat=True),
        _names(Workflow.objects.visible_to(identity), "ref"),
        _names(Cluster.objects.visible_to(identity)),
        _names(AccessPolicy.objects.visible_to(identity)),
        _names(CommandSet.objects.visible_to(identity)),
        _names(own.none() if identity.bound_to else own, "username"),
    ]


def _names(things: QuerySet[Any], column: str = "name") -> QuerySet[Any, Any]:
    return things.order_by(column).values_list(column, flat=True).distinct()


# For everyone but identities with a token that is bound to a workflow. No list depends on the time.
_SIGHT = Composed("stint_sight", lambda reader, _: [values_of(rows) for rows in _lists(reader)])
_ANY_TIME = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def _few(sight: _Sight) -> dict[str, list[str]] | None:
    """Return the references of all visible grants and requests; None if there are many."""
    grants = list(sight.grants().order_by().values_list("ref", flat=True)[: FEW + 1])
    if len(grants) > FEW:
        return None
    numbers = list(sight.requests().order_by().values_list("number", flat=True)[: FEW + 1])
    if len(numbers) > FEW:
        return None
    return {"grant": grants, "request": [references.request_ref(number) for number in numbers]}


def _of_few(
    found: QuerySet[AuditEntry], sight: _Sight, few: dict[str, list[str]], most: int
) -> list[AuditEntry]:
    """Return the newest entries from three queries, each with its own index: the identity's own actions,
    verifications, and entries about the few objects.
    """
    named = {**sight.names, **few}
    about = Q()
    for object_type, names in named.items():
        about |= Q(object_type=object_type, object_ref__in=names)
    every = [name for names in named.values() for name in names]
    sorts = (
        found.filter(sight.acts()),
        found.filter(object_type="log"),
        # Not ordered by the key itself, because PostgreSQL would then scan the record backwards, expecting to
        # find matches soon.
        found.filter(about, object_ref__in=every).order_by((F("seq") + 0).desc()),
    )
    newest = {entry.seq: entry for sort in sorts for entry in sort[:most]}
    return [newest[seq] for seq in sorted(newest, reverse=True)][:most]


def _seen(found: QuerySet[AuditEntry], sight: _Sight) -> QuerySet[AuditEntry]:
    """Filter for visible entries, looking up each grant and request by its reference."""
    condition = sight.acts() | Q(object_type="log")
    condition |= Q(seen_grant__isnull=False) | Q(seen_request__isnull=False)
    for object_type, names in sight.names.items():
        condition |= Q(object_type=object_type, object_ref__in=names)
    return _looked_up(found, "seen", sight.grants(), sight.requests()).filter(condition)
