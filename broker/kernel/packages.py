"""Extensions that installed packages add through their entry points."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

T = TypeVar("T")


def added_by_packages(group: str, kind: type[T]) -> list[T]:
    """Return the objects that a group's entry points name. Raises TypeError if one is of another kind."""
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
