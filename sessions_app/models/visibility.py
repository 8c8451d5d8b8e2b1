"""Who may see what: the one place where object permissions become a filter."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.db.models import QuerySet

from accounts.models import Identity


def permitted(
    identity: Identity, permissions: tuple[str, ...], *, user_model: Any, group_model: Any
) -> QuerySet[Any]:
    """Return the ids of the objects on which the identity holds one of the permissions, itself or by a group."""
    wanted = Permission.objects.filter(
        codename__in=permissions, content_type__app_label="sessions_app"
    ).values("pk")
    own = user_model.objects.filter(user=identity, permission__in=wanted).values("content_object_id")
    by_group = group_model.objects.filter(group__user=identity, permission__in=wanted).values(
        "content_object_id"
    )
    held: QuerySet[Any] = own.union(by_group)
    return held
