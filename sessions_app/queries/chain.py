"""From whom to whom a grant was handed on."""

from __future__ import annotations

from sessions_app.models import Grant

_DEEPEST = 10


def chain_of(grant: Grant) -> list[Grant]:
    """Return the grants that a grant was delegated from, the first one first, and itself last."""
    found = [grant]
    while found[0].parent_id is not None and len(found) <= _DEEPEST:
        found.insert(0, Grant.objects.select_related("holder__owner").get(pk=found[0].parent_id))
    return found


def tree_below(grant: Grant) -> list[tuple[int, Grant]]:
    """Return what was delegated from a grant, and from that, with how far below it each is, as a tree is read. Whoever sees
    the grant sees what became of it.
    """
    level, by_parent = [grant.pk], dict[int, list[Grant]]()
    for _ in range(_DEEPEST):
        below = list(
            Grant.objects.filter(parent__in=level)
            .select_related("holder", "command_set_version__command_set")
            .order_by("pk")
        )
        if not below:
            break
        for one in below:
            by_parent.setdefault(int(one.parent_id or 0), []).append(one)
        level = [one.pk for one in below]
    return _walk(grant.pk, by_parent, 1)


def _walk(root: int, by_parent: dict[int, list[Grant]], depth: int) -> list[tuple[int, Grant]]:
    found: list[tuple[int, Grant]] = []
    for one in by_parent.get(root, []):
        found.append((depth, one))
        found += _walk(one.pk, by_parent, depth + 1)
    return found
