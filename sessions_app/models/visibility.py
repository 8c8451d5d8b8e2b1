"""Who may see what: the one place where object permissions become a filter."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import BigAutoField
from django.db.models.expressions import RawSQL

from accounts.models import Identity

# Written out, for most filters of most pages hold it several times, and composing it costs more than running it.
_HELD = """
SELECT held.content_object_id FROM sessions_app_{noun}userobjectpermission held
 WHERE held.user_id = %s AND held.permission_id IN (SELECT id FROM auth_permission WHERE codename = ANY(%s))
UNION ALL
SELECT held.content_object_id FROM sessions_app_{noun}groupobjectpermission held
  JOIN accounts_identity_groups mine ON mine.group_id = held.group_id
 WHERE mine.identity_id = %s AND held.permission_id IN (SELECT id FROM auth_permission WHERE codename = ANY(%s))
"""


def permitted(identity: Identity, noun: str, permissions: Iterable[str]) -> RawSQL:
    """Return the ids of the clusters or policies (``noun``: ``cluster``, ``accesspolicy``) on which the identity holds one
    of the permissions, itself or by a group. It is for the right side of ``__in``.
    """
    names = [f"{name}_{noun}" for name in permissions]
    # Nothing but the noun, which our own code names, is put into the text.
    return RawSQL(  # noqa: S611
        _HELD.format(noun=noun), (identity.pk, names, identity.pk, names), output_field=BigAutoField()
    )
