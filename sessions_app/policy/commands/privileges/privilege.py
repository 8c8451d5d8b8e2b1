"""One privilege on one object of a database, whose names can have placeholders for parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder for a parameter's value in a name."""

    name: str


Name = str | Slot


@dataclass(frozen=True, slots=True)
class Privilege:
    """One privilege on one object.

    ``kind`` is the kind of the object, such as `table` or `column`. ``names`` runs from the outermost name to
    the column.
    """

    kind: str
    privilege: str
    names: tuple[Name, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The parameters in its names, in order."""
        return tuple(name.name for name in self.names if isinstance(name, Slot))

    @property
    def plain_names(self) -> tuple[str, ...]:
        """The names if they are all complete. Raises ValueError otherwise."""
        if self.slots:
            raise ValueError(f"{self} has a parameter without a value")
        return tuple(str(name) for name in self.names)

    @property
    def whole(self) -> Self:
        """The privilege on the table of a column; the privilege itself for any other object."""
        return replace(self, kind="table", names=self.names[:2]) if self.kind == "column" else self

    @property
    def included(self) -> Self | None:
        """Return a further privilege without which this one is useless; None if it needs
        none.
        """
        return None

    @property
    def same_object(self) -> object:
        """The properties that two equal objects share, in addition to the kind and the names."""
        return None

    def filled(self, values: Mapping[str, str]) -> Self:
        """Return the privilege with these parameter values. Values are used literally, as whole names."""
        names = (values.get(name.name, name) if isinstance(name, Slot) else name for name in self.names)
        return replace(self, names=tuple(names))
