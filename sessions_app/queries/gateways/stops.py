"""Running commands that someone ended."""

from __future__ import annotations

from collections.abc import Iterable

from sessions_app.models import RunStop


def stops_of(run_ids: Iterable[int]) -> list[tuple[int, str]]:
    """Return which of these runs were ended by a person, and by whom."""
    found = RunStop.objects.filter(run__in=run_ids).select_related("by").order_by("pk")
    return [(one.run_id, str(one.by)) for one in found]
