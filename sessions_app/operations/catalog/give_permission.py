"""Set the holders of a permission to those that a document names."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models
from guardian.shortcuts import assign_perm, get_groups_with_perms, get_users_with_perms, remove_perm

from accounts.models import Identity
from accounts.names import canonical_username
from sessions_app.operations.catalog.catalog_rows import holders
from sessions_app.policy.policies import Who


def give_permission(thing: models.Model, permission: str, who: Who | None) -> None:
    """Give the permission on the object to these groups and identities, and to no others."""
    groups = [Group.objects.get_or_create(name=name)[0] for name in (who.groups if who else ())]
    people = list(
        Identity.objects.filter(
            username__in=[canonical_username(name) for name in (who.identities if who else ())]
        )
    )
    held_by = [
        *holders(get_groups_with_perms(thing, attach_perms=True), permission),
        *holders(get_users_with_perms(thing, attach_perms=True, with_group_users=False), permission),
    ]
    for holder in held_by:
        if holder not in groups and holder not in people:
            remove_perm(permission, holder, thing)
    for holder in (*groups, *people):
        if holder not in held_by:
            assign_perm(permission, holder, thing)
