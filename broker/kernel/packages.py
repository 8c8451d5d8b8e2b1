"""What installed packages add, by their entry points."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

T = TypeVar("T")


def added_by_packages(group: str, kind: type[T]) -> list[T]:
    """Return what the entry points of a group name. Raises TypeError when one names something of another kind."""
    found = []
    for point in entry_points(group=group):
        loaded = point.load()
        if not isinstance(loaded, kind):
            article = "an" if kind.__name__.startswith(tuple("AEIOU")) else "a"
            raise TypeError(
                f"The entry point {point.name} of {group} does not name {article} {kind.__name__}; "
                "fix or remove its package."
            )
        found.append(loaded)
    return found
