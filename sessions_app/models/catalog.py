"""Clusters, their targets, and command sets with versions that never change once published."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from accounts.models import Identity
from sessions_app.connectors.registry import find
from sessions_app.models.policy import AccessPolicy
from sessions_app.models.visibility import permitted


class Environment(models.TextChoices):
    """The purpose of a cluster."""

    PRODUCTION = "production"
    STAGING = "staging"
    DEVELOPMENT = "development"


class Risk(models.TextChoices):
    """The harm that a mistake on a cluster can cause."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Observed(models.TextChoices):
    """How much of the activity on a cluster Stint observes."""

    ALL = "all", "Every command passes through a Stint gateway."
    SOME = "some", "Activity is read back from the target."
    NOTHING = "nothing", "Not observed: the target reports nothing to Stint."


class ClusterQuerySet(models.QuerySet["Cluster"]):
    """Filters on clusters."""

    def live(self) -> ClusterQuerySet:
        """Return clusters that are not removed."""
        return self.filter(removed_at__isnull=True)

    def holding(self, identity: Identity, *permissions: str) -> RawSQL | list[int]:
        """Return the ids of clusters on which the identity holds one of the permissions, directly or through
        a group.
        """
        return permitted(identity, "cluster", permissions)

    def held_by(self, identity: Identity, *permissions: str) -> ClusterQuerySet:
        """Return clusters on which the identity holds one of the permissions, directly or through a group."""
        return self.filter(pk__in=self.holding(identity, *permissions))

    def visible_to(self, identity: Identity) -> ClusterQuerySet:
        """Return clusters that the identity can see, because of a permission on the cluster or on a policy
        that covers the cluster.
        """
        if identity.is_superuser:
            return self
        policies = AccessPolicy.objects.holding(identity, "view", "request", "approve", "administer")
        own = self.model.objects.holding(identity, "view", "request", "approve", "administer")
        return self.filter(
            Q(pk__in=own)
            | Q(
                pk__in=AccessPolicy.clusters.through.objects.filter(accesspolicy_id__in=policies).values(
                    "cluster_id"
                )
            )
        )

    def administered_by(self, identity: Identity) -> ClusterQuerySet:
        """Return clusters that the identity can configure. Stint administrators and people with the
        permission `administer` can; machines never can.
        """
        if not identity.is_person or identity.is_superuser:
            return self if identity.is_person else self.none()
        return self.held_by(identity, "administer")


class Cluster(models.Model):
    """A cluster: a named system of one kind, with an environment and a risk.

    Its targets are hosts or a single endpoint.
    """

    name = models.SlugField(max_length=63, unique=True)
    # The kind's name, which can be that of a connector from another package.
    kind = models.CharField(max_length=32)
    summary = models.CharField(max_length=200, blank=True)
    environment = models.CharField(max_length=12, choices=Environment.choices)
    risk = models.CharField(max_length=6, choices=Risk.choices)
    host_ca = models.TextField("host certificate authority", blank=True)
    # How Stint logs in to the targets: public parameters and encrypted secrets.
    connection = models.JSONField(default=dict)
    sealed_connection = models.BinaryField(default=b"")
    created_at = models.DateTimeField(db_default=Now())
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = ClusterQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("request_cluster", "Can request access to the cluster"),
            ("approve_cluster", "Can allow held commands on the cluster"),
            ("administer_cluster", "Can set up the cluster and end grants on it"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def observed(self) -> Observed:
        """How much of the activity on the cluster Stint observes.

        Unless the value is ``ALL``, a count of zero proves nothing.
        """
        kind = find(self.kind)
        # A `direct` cluster is accessed without a gateway.
        if kind is not None and kind.sees and not self.connection.get("direct"):
            return Observed.ALL
        return Observed.SOME if self.connection.get("read_statements") else Observed.NOTHING


class ClusterUserObjectPermission(UserObjectPermissionBase):
    """A permission of one identity on one cluster."""

    content_object = models.ForeignKey(Cluster, on_delete=models.CASCADE)


class ClusterGroupObjectPermission(GroupObjectPermissionBase):
    """A permission of one group on one cluster."""

    content_object = models.ForeignKey(Cluster, on_delete=models.CASCADE)


class TargetQuerySet(models.QuerySet["Target"]):
    """Filters on targets."""

    def live(self) -> TargetQuerySet:
        """Return targets that are not removed, on clusters that are not removed."""
        return self.filter(removed_at__isnull=True, cluster__removed_at__isnull=True)


class Target(models.Model):
    """One host of a cluster: its address, the account, and how the host key is verified."""

    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, related_name="targets")
    name = models.SlugField(max_length=63)
    address = models.CharField(max_length=253)
    port = models.PositiveIntegerField(default=22)
    account = models.CharField(max_length=32, blank=True)
    host_key = models.TextField(blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = TargetQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["cluster", "name"], name="target_name_once_per_cluster"),
            models.CheckConstraint(condition=Q(port__gte=1, port__lte=65535), name="target_port_in_range"),
        ]

    def __str__(self) -> str:
        return self.name


class CommandSetQuerySet(models.QuerySet["CommandSet"]):
    """Filters on command sets."""

    def live(self) -> CommandSetQuerySet:
        """Return command sets that are not removed."""
        return self.filter(removed_at__isnull=True)

    def visible_to(self, identity: Identity) -> CommandSetQuerySet:
        """Return command sets named by a policy that the identity can see."""
        if identity.is_superuser:
            return self
        policies = AccessPolicy.objects.visible_to(identity).values("pk")
        return self.filter(
            pk__in=AccessPolicy.command_sets.through.objects.filter(accesspolicy_id__in=policies).values(
                "commandset_id"
            )
        )

    def administered_by(self, identity: Identity) -> CommandSetQuerySet:
        """Return command sets that the identity can edit.

        Stint administrators can edit all of them. Other people must administer every live policy that names
        the command set, because a new version changes the access under each of these policies. Machines
        can't edit any.
        """
        if not identity.is_person or identity.is_superuser:
            return self if identity.is_person else self.none()
        mine = AccessPolicy.objects.live().held_by(identity, "administer")
        others = AccessPolicy.objects.live().exclude(pk__in=mine.values("pk"))
        naming = AccessPolicy.command_sets.through.objects
        return self.filter(
            pk__in=naming.filter(accesspolicy_id__in=mine.values("pk")).values("commandset_id")
        ).exclude(pk__in=naming.filter(accesspolicy_id__in=others.values("pk")).values("commandset_id"))


class CommandSet(models.Model):
    """A named list of allowed commands of one kind. Its versions define what is allowed."""

    name = models.SlugField(max_length=63, unique=True)
    kind = models.CharField(max_length=32)
    created_at = models.DateTimeField(db_default=Now())
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = CommandSetQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @property
    def published(self) -> CommandSetVersion | None:
        """The newest published version, or None. Uses prefetched versions."""
        versions = [version for version in self.versions.all() if version.published_at is not None]
        return max(versions, key=lambda version: version.number, default=None)


class CommandSetVersion(models.Model):
    """One version of a command set, which is a draft until it is published. After that, the database rejects
    any change.
    """

    command_set = models.ForeignKey(CommandSet, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    source = models.TextField()
    document = models.JSONField()
    digest = models.CharField(max_length=64)
    findings = models.JSONField(default=list)
    accepted = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+")
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["command_set", "number"], name="command_set_version_once"),
            models.UniqueConstraint(
                fields=["command_set"], condition=Q(published_at__isnull=True), name="command_set_one_draft"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.command_set.name} v{self.number}"
