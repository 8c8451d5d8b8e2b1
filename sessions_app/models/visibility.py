"""Visibility of objects. Only this module converts object permissions to query filters."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from django.db import connection
from django.db.models import BigAutoField
from django.db.models.expressions import RawSQL

from accounts.models import Identity
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import ask

# Raw SQL: most filters on most pages contain this condition several times, and composing it takes longer
# than running it.
_HELD = """
SELECT held.content_object_id FROM sessions_app_{noun}userobjectpermission held
 WHERE held.user_id = %s AND held.permission_id IN (SELECT id FROM auth_permission WHERE codename = ANY(%s))
UNION ALL
SELECT held.content_object_id FROM sessions_app_{noun}groupobjectpermission held
  JOIN accounts_identity_groups mine ON mine.group_id = held.group_id
 WHERE mine.identity_id = %s
   AND held.permission_id IN (SELECT id FROM auth_permission WHERE codename = ANY(%s))
"""
# The ids of the policies under which an identity can request a cluster: one condition of statements that are
# composed once per process. It is `requestable` (`models/policy.py`), with the values of `who_requests`.
REQUESTABLE = """
SELECT covered.accesspolicy_id FROM sessions_app_accesspolicy_clusters covered
  JOIN sessions_app_accesspolicy live ON live.id = covered.accesspolicy_id AND live.removed_at IS NULL
 WHERE covered.cluster_id = %s AND ({})
""".format(
    " OR ".join(
        f"covered.{noun}_id IN ({_HELD.format(noun=noun)})".replace(
            "codename = ANY(%s)", f"codename = 'request_{noun}'"
        )
        for noun in ("accesspolicy", "cluster")
    )
)


def who_requests(identity: Identity, cluster_id: int) -> tuple[int, ...]:
    """Return the values of `REQUESTABLE`."""
    return (cluster_id, *[identity.pk] * 4)


def may_request_under(policy_id: int, identity: Identity, cluster_id: int) -> bool:
    """Whether the identity can request the cluster under this policy."""
    return bool(ask(f"SELECT WHERE %s IN ({REQUESTABLE})", policy_id, *who_requests(identity, cluster_id)))


_ALL = " UNION ALL ".join(
    f"""
SELECT '{noun}', codename, array_agg(content_object_id)
  FROM (SELECT permission_id, content_object_id FROM sessions_app_{noun}userobjectpermission
         WHERE user_id = %(me)s
        UNION
        SELECT permission_id, content_object_id FROM sessions_app_{noun}groupobjectpermission
         WHERE group_id IN (SELECT group_id FROM accounts_identity_groups WHERE identity_id = %(me)s)) held
  JOIN auth_permission ON auth_permission.id = permission_id
 GROUP BY codename
"""  # noqa: S608  # only the nouns below are put into the text
    for noun in ("cluster", "accesspolicy")
)
_ALL += """
UNION ALL SELECT 'identity', 'answers_for', array_agg(id) FROM accounts_identity
 WHERE id = %(me)s OR owner_id = %(me)s
"""


def hold_still(identity: Identity) -> None:
    """Cache the identity's permissions and the ids of its machines for the lifetime of this object, because a
    page uses them many times.

    The permissions are read on first use.
    """
    held = identity.held = functools.cache(functools.partial(all_held, identity.pk))
    identity.answers_for_ids = lambda: held()["identity", "answers_for"]


def all_held(pk: int) -> dict[tuple[str, str], list[int]]:
    """Return the ids of the clusters and policies on which an identity holds each permission, and of the
    identity and its machines, as `Identity.held` has them.
    """
    with prepared(), connection.cursor() as cursor:
        cursor.execute(_ALL, {"me": pk})
        return {(noun, codename): ids for noun, codename, ids in cursor.fetchall()}


def permitted(identity: Identity, noun: str, permissions: Iterable[str]) -> RawSQL | list[int]:
    """Return the ids of the clusters or policies on which the identity holds one of the permissions, directly
    or through a group.

    ``noun`` is ``cluster`` or ``accesspolicy``. Use the result as the value of an ``__in`` lookup.
    """
    names = [f"{name}_{noun}" for name in permissions]
    if identity.held is not None:
        held = identity.held()
        return sorted({pk for name in names for pk in held.get((noun, name), ())})
    # Only the noun is inserted into the SQL, and it always comes from our own code.
    return RawSQL(  # noqa: S611
        _HELD.format(noun=noun), (identity.pk, names, identity.pk, names), output_field=BigAutoField()
    )
