"""The setup steps of a new installation. Progress is not stored, but derived from current data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.db.models import OuterRef, Prefetch, Subquery

from accounts.models import Identity, Kind
from sessions_app.models import AccessPolicy, Cluster, CommandSet, CommandSetVersion, Target, TargetCheck

# One person to request access, and one to approve it.
PEOPLE = 2
KEYS = ("people", "cluster", "commands", "policy", "check", "done")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its key in the address, its title, and whether it is done."""

    key: str
    title: str
    done: bool
    current: bool = False

    @property
    def tone(self) -> str:
        """The step's tone in the list."""
        return "ok" if self.done else "info" if self.current else "mute"


def starts_with_nothing(identity: Identity) -> bool:
    """Whether to show an administrator the setup steps, because no cluster was ever created."""
    return identity.is_superuser and not Cluster.objects.exists()


def steps() -> list[Step]:
    """Return the steps in order, each with whether the step is done."""
    latest = TargetCheck.objects.filter(target=OuterRef("pk"), finished_at__isnull=False).order_by("-pk")
    targets = Target.objects.live()
    published = CommandSetVersion.objects.filter(
        published_at__isnull=False, command_set__removed_at__isnull=True
    )
    policies = AccessPolicy.objects.live().filter(
        clusters__removed_at__isnull=True, command_sets__removed_at__isnull=True
    )
    return [
        Step("people", "People and groups", in_groups() >= PEOPLE),
        Step("cluster", "A cluster with a target", targets.exists()),
        Step("commands", "Commands", published.exists()),
        Step("policy", "A policy", policies.exists()),
        Step(
            "check",
            "Connection",
            targets.annotate(right=Subquery(latest.values("ok")[:1])).filter(right=True).exists(),
        ),
    ]


def unfinished(identity: Identity) -> str:
    """Return the next step for administrators, as long as no one can request anything; otherwise empty."""
    if not identity.is_superuser or AccessPolicy.objects.live().exists():
        return ""
    return next((step.title[:1].lower() + step.title[1:] for step in steps() if not step.done), "")


def in_groups() -> int:
    """Return how many people belong to a group, counting at most PEOPLE."""
    found = Identity.objects.active().filter(kind=Kind.PERSON, groups__isnull=False)
    return len(found.values("pk").distinct()[:PEOPLE])


def people() -> Sequence[Identity]:
    """Return the newest people with their groups, at most 50."""
    found = Identity.objects.filter(kind=Kind.PERSON).prefetch_related(
        Prefetch("groups", Group.objects.order_by("name"))
    )
    return list(found.order_by("-pk")[:50])


def newest_cluster() -> Cluster | None:
    """Return the newest cluster that has targets."""
    return Cluster.objects.live().filter(targets__removed_at__isnull=True).order_by("-pk").distinct().first()


def cluster_names() -> list[str]:
    """Return the clusters that a policy can list."""
    return list(Cluster.objects.live().order_by("name").values_list("name", flat=True))


def command_set_names() -> list[str]:
    """Return the command sets that a policy can list."""
    found = CommandSet.objects.live().filter(versions__published_at__isnull=False)
    return list(found.distinct().order_by("name").values_list("name", flat=True))


def newest_policy() -> AccessPolicy | None:
    """Return the policy that was changed last, with its clusters and command sets."""
    found = AccessPolicy.objects.live().prefetch_related("clusters", "command_sets")
    return found.order_by("-changed_at").first()
