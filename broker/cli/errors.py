"""The command's errors and exit statuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The exit statuses of `stint`. `ssh`, `psql`, `mariadb` and `run` pass on the status of the command that
    they ran.
    """

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_SIGNED_IN = 3
    NOT_FOUND = 4
    NO_GRANT = 5
    UNREACHABLE = 6
    INTERRUPTED = 130


class CliError(Exception):
    """An error: its message and how to fix it. ``fields``: messages by field. ``rules``: results of policy
    rules.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: Exit = Exit.REFUSED,
        code: str = "",
        fields: Mapping[str, Sequence[str]] | None = None,
        rules: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.message, self.hint, self.status = message, hint, status
        self.code = code or status.name.lower()
        self.fields = dict(fields or {})
        self.rules = list(rules)

    def as_json(self) -> dict[str, Any]:
        """Return the error as `--json` writes it to standard error."""
        said: dict[str, Any] = {"code": self.code, "exit": int(self.status), "message": self.message}
        more = {"hint": self.hint, "fields": self.fields, "rules": self.rules}
        return {"error": said | {name: value for name, value in more.items() if value}}


class Unreachable(CliError):
    """Stint did not respond, or its response could not be parsed."""

    def __init__(
        self, message: str, hint: str = "Check the address and your network, and try again."
    ) -> None:
        super().__init__(message, hint, status=Exit.UNREACHABLE)


class Usage(CliError):
    """The command's arguments or environment are invalid."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, status=Exit.USAGE)


class NotSignedIn(CliError):
    """There is no valid token."""

    def __init__(self, message: str = "You are not signed in.", hint: str = "Run `stint login URL`.") -> None:
        super().__init__(message, hint, status=Exit.NOT_SIGNED_IN)


class NoGrant(CliError):
    """The wait for a grant timed out, or the request was not approved."""

    def __init__(self, message: str, hint: str = "", *, code: str = "no_grant") -> None:
        super().__init__(message, hint, status=Exit.NO_GRANT, code=code)
