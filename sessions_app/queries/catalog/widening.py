"""Whether a changed document may allow more than the stored one, and who can publish the change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Q
from guardian.shortcuts import get_users_with_perms

from accounts.models import Identity, Kind
from accounts.queries import are_same_person, each_person, same_person
from sessions_app.models import AccessPolicy, Cluster, CommandSet, Proposal
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.documents import DocumentError
from sessions_app.policy.widening import wider_commands
from sessions_app.queries.catalog.command_sets import document_of


def wider_set(name: str, document: CommandSetDocument) -> list[str]:
    """Return the parts of a command set that may allow more than its published version; empty if there are
    none.

    A command set that is new, removed or unreadable allows nothing so far.
    """
    command_set = CommandSet.objects.live().filter(name=name).prefetch_related("versions").first()
    published = command_set.published if command_set else None
    try:
        before = document_of(published) if published else None
    except DocumentError:
        before = None
    return [] if before and wider_commands(before, document) is None else ["commands"]


def may_not_publish(proposal: Proposal, person: Identity) -> str:
    """Return why this identity, which administers the document, can't publish the proposal; empty if it
    can.
    """
    if are_same_person(proposal.proposed_by, person):
        return "You can't publish or deny your own proposal."
    return ""


def publishers_of(proposal: Proposal) -> list[Identity]:
    """Return the people who can publish a proposal, one account per person: Stint administrators, and
    administrators of the document.
    """
    people = Identity.objects.active().filter(kind=Kind.PERSON)
    told = people.filter(Q(is_superuser=True) | Q(pk__in=_administrators(proposal)))
    others = told.exclude(same_person(proposal.proposed_by)).distinct().order_by("name", "username")
    return each_person(
        one for one in others if Proposal.objects.visible_to(one).filter(pk=proposal.pk).exists()
    )


def _administrators(proposal: Proposal) -> set[int]:
    """Return the ids of the administrators of the cluster or policy that a proposal is about."""
    rows: Iterable[models.Model]
    if proposal.kind == "clusters":
        rows, permission = Cluster.objects.live().filter(name=proposal.name), "administer_cluster"
    else:
        which = {"policies": "name", "command-sets": "command_sets__name"}[proposal.kind]
        rows = AccessPolicy.objects.live().filter(**{which: proposal.name})
        permission = "administer_accesspolicy"
    found: set[int] = set()
    for row in rows:
        held: Any = get_users_with_perms(row, only_with_perms_in=[permission], with_superusers=False)
        found.update(held.values_list("pk", flat=True))
    return found
