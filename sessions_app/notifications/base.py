"""Ways to tell people. An adapter gets plain values and raises NotTold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class NotTold(Exception):
    """The message did not go out; ``permanent`` when trying again is of no use."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class NotReached(NotTold):
    """The way itself does not work at the moment, whoever is to be told."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one person is told, at each of their addresses. ``url`` leads to the page where one signs in and decides; opening it changes nothing."""

    to: tuple[str, ...]
    name: str
    subject: str
    body: str
    url: str


class Channel(Protocol):
    """One way to tell people."""

    def send(self, message: Message) -> None:
        """Send the message. Raises NotTold."""
        ...
