"""The base classes of errors that are shown to users."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar


class StintError(Exception):
    """An anticipated failure. The message says what is wrong, and ``hint`` what to do.

    Subclasses are defined beside the operation that raises them. They set ``code`` (stable, machine-readable) and
    ``status`` (the HTTP status of the response). ``moments`` are the times that the text has in UTC (`say_utc`), so that
    an entry point can also show them in the user's time zone.
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
    """The input is invalid. ``fields``: messages by field."""

    code = "invalid"
    status = 400


class NotFound(StintError):
    """The object does not exist or is not visible to the caller, which is indistinguishable."""

    code = "not_found"
    status = 404


class Forbidden(StintError):
    """The caller can see the object, but has no permission to do this."""

    code = "forbidden"
    status = 403


class Conflict(StintError):
    """The object is not in the state that the act requires."""

    code = "conflict"
    status = 409


class Overtaken(Conflict):
    """Another process did it first, so a background process has nothing left to do."""

    code = "overtaken"


class Unavailable(StintError):
    """A component that is required to do this safely does not respond. Nothing was changed."""

    code = "unavailable"
    status = 503
