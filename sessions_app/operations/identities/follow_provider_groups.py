"""Update a person's groups to match those that the identity provider reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from django.contrib.auth.models import Group

from accounts.models import Identity
from broker.audit.actor import Actor
from sessions_app.operations.catalog.catalog_plan import one_change
from sessions_app.operations.catalog.write_group import write_group
from sessions_app.policy.catalog import GroupDocument


def follow_provider_groups(
    *, identity_id: int, named: Collection[str], governed: Collection[str], now: dt.datetime
) -> None:
    """Add a person to the governed groups that the provider reports, and remove them from all other governed
    groups.

    The effect is the same as for changes by an administrator: access that depended on a removed group ends.
    Groups that the provider does not govern stay unchanged.
    """
    wanted = {name: name in named for name in governed}
    if not _different(identity_id, wanted):
        return
    with one_change(actor=Actor.system("provider"), now=now, holder=identity_id) as plan:
        username = Identity.objects.values_list("username", flat=True).get(pk=identity_id)
        for name in _different(identity_id, wanted):
            members = set(Identity.objects.filter(groups__name=name).values_list("username", flat=True))
            members = members | {username} if wanted[name] else members - {username}
            document = GroupDocument.model_validate({"name": name, "members": sorted(members)})
            write_group(document, plan, Actor.system("provider"), now)


def _different(identity_id: int, wanted: dict[str, bool]) -> list[str]:
    """Return the groups in which membership differs from ``wanted``, sorted, so that all processes lock
    groups in the same order.
    """
    inside = set(Group.objects.filter(user=identity_id).values_list("name", flat=True))
    return sorted(name for name, should in wanted.items() if should != (name in inside))
