"""The actor of an entry in the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

ActorKind = Literal["person", "service", "agent", "system"]
SYSTEM_PREFIX = "system:"


@dataclass(frozen=True, slots=True)
class Actor:
    """An identity, or a component of Stint (``system:sweep``), at the time of the action.

    ``name`` is the username at that time. ``id`` is the identity's primary key, or None for a component.
    Raises ValueError for an empty name, and for an identity whose name is reserved for the system.
    """

    name: str
    id: int | None
    kind: ActorKind

    def __post_init__(self) -> None:
        is_system = self.kind == "system"
        if not self.name or self.name == SYSTEM_PREFIX:
            raise ValueError("An actor needs a name.")
        if self.name.startswith(SYSTEM_PREFIX) != is_system or (self.id is None) != is_system:
            raise ValueError(
                f"{self.name!r} with id {self.id} can't be a {self.kind} actor: names that begin with "
                f"'{SYSTEM_PREFIX}' are reserved for Stint's components, which have no id."
            )

    @classmethod
    def system(cls, part: str) -> Self:
        """Return the actor for a component of Stint: ``Actor.system("sweep")`` is ``system:sweep``."""
        return cls(name=SYSTEM_PREFIX + part, id=None, kind="system")
