"""Lock the grants that were delegated from other grants."""

from __future__ import annotations

from collections.abc import Iterable

from sessions_app.models import Grant

# More levels than any policy allows for delegation.
_DEEPEST = 10


def lock_descendants(*, grant_ids: Iterable[int]) -> list[Grant]:
    """Lock every grant that was delegated from these grants, at any depth, and is not over.

    Return the locked grants, nearest first.

    Call this in the transaction that ends them, before anything is recorded.
    """
    found: list[Grant] = []
    above = list(grant_ids)
    for _ in range(_DEEPEST):
        # A delegated grant may be over while a grant delegated from it still lets commands finish.
        above = list(Grant.objects.filter(parent__in=above).values_list("pk", flat=True))
        if not above:
            break
        below = Grant.objects.not_ended().select_for_update(no_key=True, of=("self",)).filter(pk__in=above)
        found += below.select_related("holder").order_by("pk")
    return found
