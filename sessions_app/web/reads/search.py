"""Finding things by a few letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.models import Identity
from sessions_app.models import AccessPolicy, AccessRequest, Cluster, CommandSet, Grant, Workflow
from sessions_app.web.reads.home import with_names

MOST = 10
_REQUEST = re.compile(r"REQ-?([0-9]{1,9})", re.IGNORECASE)
_INCIDENT = re.compile(r"INC-?([0-9]{1,9})", re.IGNORECASE)
_GRANT = re.compile(r"GR-?([0-9A-Z]{4,12})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """What fits some letters, of what the reader may see."""

    clusters: Sequence[Cluster]
    command_sets: Sequence[CommandSet]
    policies: Sequence[AccessPolicy]
    people: Sequence[Identity]
    requests: Sequence[AccessRequest]
    grants: Sequence[Grant]

    def __bool__(self) -> bool:
        return any((self.clusters, self.command_sets, self.policies, self.people, self.requests, self.grants))


def exact(identity: Identity, text: str) -> AccessRequest | Grant | Workflow | None:
    """Return the request, grant or incident whose reference this is, if the reader may see it."""
    if match := _REQUEST.fullmatch(text):
        return AccessRequest.objects.visible_to(identity).filter(number=int(match[1])).first()
    if match := _GRANT.fullmatch(text):
        return Grant.objects.visible_to(identity).filter(ref=f"GR-{match[1].upper()}").first()
    if match := _INCIDENT.fullmatch(text):
        return Workflow.objects.visible_to(identity).filter(ref=f"INC-{int(match[1])}").first()
    return None


def search(identity: Identity, text: str) -> Found:
    """Return what fits the letters: names of clusters, command sets, policies, people, and tickets."""
    named = Q(name__icontains=text)
    requests = with_names(AccessRequest.objects.visible_to(identity)).filter(
        Q(ticket__icontains=text)
        | Q(requester__name__icontains=text)
        | Q(requester__username__icontains=text)
    )
    grants = with_names(Grant.objects.visible_to(identity)).filter(
        Q(ref__icontains=text)
        | Q(targets__name__icontains=text)
        | Q(holder__name__icontains=text)
        | Q(holder__username__icontains=text)
    )
    return Found(
        clusters=list(
            Cluster.objects.live()
            .visible_to(identity)
            .filter(named | Q(targets__name__icontains=text))
            .distinct()
            .order_by("name")[:MOST]
        ),
        command_sets=list(
            CommandSet.objects.live().visible_to(identity).filter(named).order_by("name")[:MOST]
        ),
        policies=list(
            AccessPolicy.objects.live().visible_to(identity).filter(named).distinct().order_by("name")[:MOST]
        ),
        people=list(
            known_people(identity).filter(named | Q(username__icontains=text)).order_by("username")[:MOST]
        ),
        requests=list(requests.order_by("-number")[:MOST]),
        grants=list(grants.distinct().order_by("-pk")[:MOST]),
    )


def known_people(identity: Identity) -> QuerySet[Identity]:
    """Return the identities that the reader may see: oneself, one's machines, and whoever asked for or holds what one sees."""
    if identity.is_superuser:
        return Identity.objects.all()
    return Identity.objects.filter(
        Q(pk=identity.pk)
        | Q(owner=identity)
        | Q(pk__in=AccessRequest.objects.visible_to(identity).values("requester"))
        | Q(pk__in=Grant.objects.visible_to(identity).values("holder"))
    )
