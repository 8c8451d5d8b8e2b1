"""The interface of notification channels. A channel gets plain values and raises NotSent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class NotSent(Exception):
    """The message was not sent. ``permanent`` means that a retry can't succeed."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class NotReached(NotSent):
    """The channel can't currently deliver to any recipient."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A notification to one person, at each of their addresses. ``url`` is the page where the person signs in
    and decides; opening the page changes nothing.
    """

    to: tuple[str, ...]
    name: str
    subject: str
    body: str
    url: str


class Channel(Protocol):
    """A way to notify people."""

    def send(self, message: Message) -> None:
        """Send the message. Raises NotSent."""
        ...
