"""The base of every error that a person may see."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar


class StintError(Exception):
    """An anticipated failure: says what is wrong and what to do.

    Subclasses are beside the operation that raises them. They set ``code`` (stable, machine-readable) and ``status``
    (the HTTP status that entry points answer with). ``hint`` says what to do. ``moments`` are the times that the text gives in
    UTC (`say_utc`), for an entry point that also shows them in the reader's time zone.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        fields: dict[str, list[str]] | None = None,
        moments: tuple[dt.datetime, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields or {}
        self.moments = moments

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInput(StintError):
    """The input does not have the right form; ``fields`` says where."""

    code = "invalid"
    status = 400


class NotFound(StintError):
    """Not found, or not visible to the caller: the two answers are the same."""

    code = "not_found"
    status = 404


class Forbidden(StintError):
    """The caller may see the object, but not do this."""

    code = "forbidden"
    status = 403


class Conflict(StintError):
    """The object is no longer in the state that the act needs."""

    code = "conflict"
    status = 409


class Overtaken(Conflict):
    """Another process was first. Nothing is left to do for one that works in the background."""

    code = "overtaken"


class Unavailable(StintError):
    """A component that is needed to do this safely does not answer; nothing was changed."""

    code = "unavailable"
    status = 503
