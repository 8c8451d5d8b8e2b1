"""The base classes of errors that are shown to users."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar


class StintError(Exception):
    """An anticipated failure. The message describes the problem, and ``hint`` what to do.

    Subclasses are defined in the module of the operation that raises them. They set ``code`` (stable,
    machine-readable) and ``status`` (the HTTP status of the response). ``moments`` are the times that the
    message contains in UTC (`say_utc`), so that an entry point can also show them in the user's time zone.
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
    """Some values are not valid. ``fields`` lists them, each with the requirement."""

    code = "invalid"
    status = 400


class NotFound(StintError):
    """The object does not exist, or you can't see it."""

    code = "not_found"
    status = 404


class Forbidden(StintError):
    """You can see the object, but you don't have permission for this action."""

    code = "forbidden"
    status = 403


class Conflict(StintError):
    """The object is no longer in the state that the request requires. Read the object again."""

    code = "conflict"
    status = 409


class Overtaken(Conflict):
    """Another process has already done this task. There is nothing left to do."""

    code = "overtaken"


class Unavailable(StintError):
    """A component that this action requires does not respond. Nothing was changed. Try again in a
    moment.
    """

    code = "unavailable"
    status = 503
