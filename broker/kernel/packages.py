"""Load extensions from the entry points of installed packages."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

T = TypeVar("T")


def added_by_packages(group: str, kind: type[T]) -> list[T]:
    """Return the objects of a group's entry points. Raises TypeError for an object that is not of
    this kind.
    """
    found = []
    for point in entry_points(group=group):
        loaded = point.load()
        if not isinstance(loaded, kind):
            article = "an" if kind.__name__.startswith(tuple("AEIOU")) else "a"
            raise TypeError(
                f"The entry point {point.name} of {group} is not {article} {kind.__name__}. "
                "Fix or remove its package."
            )
        found.append(loaded)
    return found
