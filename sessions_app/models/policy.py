"""Access policies: who may request which command sets on which clusters, for how long, with which
approvals.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from accounts.models import Identity
from sessions_app.models.visibility import permitted


class AccessPolicyQuerySet(models.QuerySet["AccessPolicy"]):
    """Filters on policies."""

    def live(self) -> AccessPolicyQuerySet:
        """Return policies that are not removed."""
        return self.filter(removed_at__isnull=True)

    def holding(self, identity: Identity, *permissions: str) -> RawSQL | list[int]:
        """Return the ids of policies on which the identity holds one of the permissions, directly or through
        a group.
        """
        return permitted(identity, "accesspolicy", permissions)

    def held_by(self, identity: Identity, *permissions: str) -> AccessPolicyQuerySet:
        """Return policies on which the identity holds one of the permissions, directly or through a group."""
        return self.filter(pk__in=self.holding(identity, *permissions))

    def visible_to(self, identity: Identity) -> AccessPolicyQuerySet:
        """Return policies on which the identity holds any permission, or that cover a cluster on which it
        holds one.
        """
        if identity.is_superuser:
            return self
        return self.filter(self._reached(identity, "view", "request", "approve", "administer"))

    def administered_by(self, identity: Identity) -> AccessPolicyQuerySet:
        """Return policies that the identity can change. Stint administrators and people with the permission
        `administer` can.

        Machines never can.
        """
        if not identity.is_person or identity.is_superuser:
            return self if identity.is_person else self.none()
        return self.held_by(identity, "administer")

    def requestable_by(self, identity: Identity, cluster_id: int) -> AccessPolicyQuerySet:
        """Return live policies under which the identity can request the cluster, as defined by
        `requestable`.
        """
        return self.filter(pk__in=requestable(identity).filter(cluster=cluster_id).values("accesspolicy"))

    def _reached(self, identity: Identity, *permissions: str) -> Q:
        """Match policies by a permission on the policy, or on a cluster that the policy covers."""
        clusters = permitted(identity, "cluster", permissions)
        covering = self.model.clusters.through.objects.filter(cluster_id__in=clusters)
        own = self.holding(identity, *permissions)
        return Q(pk__in=own) | Q(pk__in=covering.values("accesspolicy_id"))


class AccessPolicy(models.Model):
    """One access policy. ``document`` has the rules; the other columns are for finding the policy."""

    name = models.SlugField(max_length=63, unique=True)
    version = models.PositiveIntegerField(default=1)
    summary = models.CharField(max_length=200, blank=True)
    source = models.TextField(blank=True)
    document = models.JSONField()
    digest = models.CharField(max_length=64)
    clusters = models.ManyToManyField("sessions_app.Cluster", related_name="policies")
    command_sets = models.ManyToManyField("sessions_app.CommandSet", related_name="policies")
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = AccessPolicyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "access policies"
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("request_accesspolicy", "Can request access under the policy"),
            ("approve_accesspolicy", "Can decide requests under the policy"),
            ("administer_accesspolicy", "Can change the policy and end grants under it"),
        ]

    def __str__(self) -> str:
        return self.name


def requestable(identity: Identity) -> models.QuerySet[Any]:
    """Return what the identity can request, as pairs of a live ``accesspolicy`` and a ``cluster`` that it
    covers.

    This requires the permission ``request`` on the policy or on that specific cluster: a permission on one
    cluster of a policy does not extend to its other clusters. Administrators are no exception, because
    permission to configure access does not include having it.
    """
    by_policy = Q(accesspolicy__in=AccessPolicy.objects.holding(identity, "request"))
    by_cluster = Q(cluster__in=permitted(identity, "cluster", ["request"]))
    covered = AccessPolicy.clusters.through.objects.filter(accesspolicy__removed_at__isnull=True)
    return covered.filter(by_policy | by_cluster)


class AccessPolicyUserObjectPermission(UserObjectPermissionBase):
    """A permission of one identity on one policy."""

    content_object = models.ForeignKey(AccessPolicy, on_delete=models.CASCADE)


class AccessPolicyGroupObjectPermission(GroupObjectPermissionBase):
    """A permission of one group on one policy."""

    content_object = models.ForeignKey(AccessPolicy, on_delete=models.CASCADE)
