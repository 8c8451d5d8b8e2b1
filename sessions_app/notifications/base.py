"""Channels that notify people. An adapter gets plain values and raises NotSent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class NotSent(Exception):
    """The message was not sent. ``permanent``: a retry cannot succeed."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class NotReached(NotSent):
    """The channel itself does not work at the moment, for any recipient."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A notification to one person, at each of their addresses. ``url`` leads to the page where they sign in and
    decide; opening it changes nothing.
    """

    to: tuple[str, ...]
    name: str
    subject: str
    body: str
    url: str


class Channel(Protocol):
    """One way to notify people."""

    def send(self, message: Message) -> None:
        """Send the message. Raises NotSent."""
        ...
