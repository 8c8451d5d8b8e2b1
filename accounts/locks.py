"""Locks on identities that receive a credential."""

from __future__ import annotations

from collections.abc import Collection

from accounts.models import APIToken, Identity
from broker.audit.actor import Actor
from broker.kernel.errors import Conflict


class IdentityDisabled(Conflict):
    """The identity, or the machine's owner, is disabled. An administrator can enable it."""

    code = "identity_disabled"


def lock_active(*ids: int) -> dict[int, Identity]:
    """Lock those identities that are enabled, and return them by ID. They can't be disabled before the
    transaction ends.
    """
    rows = Identity.objects.active().filter(pk__in=ids).order_by("pk")
    return {one.pk: one for one in rows.select_for_update(no_key=True, of=("self",))}


def lock_recipient(identity: Identity, actor: Identity | Actor) -> None:
    """Lock the recipient and the creator of a credential. Raises IdentityDisabled.

    Otherwise, a credential that was created while an identity was being disabled would become valid when the
    identity is enabled again.
    """
    people = {one.pk: one for one in (identity, actor) if isinstance(one, Identity)}
    active = lock_active(*people)
    for pk, one in people.items():
        if pk not in active:
            raise IdentityDisabled(
                f"{one} is disabled{'' if one.is_person else ', or its owner is'}.",
                hint="Ask an administrator to enable it.",
            )


def lock_made_by(token_ids: Collection[int]) -> list[APIToken]:
    """Lock the tokens that were created with these tokens, recursively, and return those that are not
    revoked.
    """
    rows = APIToken.objects.filter(made_by__in=token_ids, revoked_at__isnull=True).select_related("identity")
    made = list(rows.select_for_update(no_key=True, of=("self",)).order_by("pk"))
    return made + lock_made_by([one.pk for one in made]) if made else []
