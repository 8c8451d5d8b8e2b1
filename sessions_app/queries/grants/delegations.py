"""The chain of delegations of a grant."""

from __future__ import annotations

from django.db import models
from django.db.models.expressions import RawSQL

from broker.kernel.postgresql.rows import Rows
from sessions_app.models import Grant

_DEEPEST = 10


def chain_of(grant: Grant) -> list[Grant]:
    """Return the chain of grants from which a grant was delegated, starting with the original grant and
    ending with the grant itself.
    """
    found = [grant]
    while found[0].parent_id is not None and len(found) <= _DEEPEST:
        above = Grant.objects.select_related("holder__owner", "policy", "cluster").get(pk=found[0].parent_id)
        found.insert(0, above)
    return found


def in_tree_of(grant: Grant) -> RawSQL:
    """Return the ids of all grants in the tree of delegations that a grant belongs to, including the grant
    itself.
    """
    # The SQL text is constant; the grant is a parameter.
    return RawSQL("SELECT unnest(stint_tree(%s))", (grant.pk,), output_field=models.BigAutoField())


def tree_below(grant: Grant) -> list[tuple[int, Grant]]:
    """Return all grants that were delegated from a grant, directly or indirectly, each with its depth, in
    tree order.

    Anyone who can see the grant can also see these.
    """
    level, by_parent = [grant.pk], dict[int, list[Grant]]()
    for _ in range(_DEEPEST):
        below = _BELOW(level)
        if not below:
            break
        for one in below:
            by_parent.setdefault(int(one.parent_id or 0), []).append(one)
        level = [one.pk for one in below]
    return _walk(grant.pk, by_parent, 1)


_BELOW = Rows(
    Grant,
    "holder",
    "command_set_version__command_set",
    tail="WHERE sessions_app_grant.parent_id = ANY(%s) ORDER BY sessions_app_grant.id",
)


def _walk(root: int, by_parent: dict[int, list[Grant]], depth: int) -> list[tuple[int, Grant]]:
    found: list[tuple[int, Grant]] = []
    for one in by_parent.get(root, []):
        found.append((depth, one))
        found += _walk(one.pk, by_parent, depth + 1)
    return found
