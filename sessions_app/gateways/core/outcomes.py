"""The outcomes of allowed requests, for the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiohttp.web import BaseRequest

from broker.kernel.errors import StintError
from sessions_app.gateways.core.heads import HeadRefused

GIVEN_UP = "canceled by the client"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a request, as `finish_run` stores it."""

    state: Literal["done", "cut", "failed"]
    reason: str = ""
    exit_status: int | None = None


def failed_by(error: Exception, *, sent: bool) -> Report:
    """Return the outcome of a request that failed with an error.

    ``sent`` means that the target may have received the request.
    """
    state: Literal["cut", "failed"] = "cut" if sent else "failed"
    if isinstance(error, StintError):
        return Report(state, error.message)
    if isinstance(error, HeadRefused):
        return Report(state, error.reason)
    return Report(state, f"the gateway failed ({type(error).__name__})")


def is_gone(request: BaseRequest) -> bool:
    """Whether the client of a request has disconnected."""
    return request.transport is None or request.transport.is_closing()
