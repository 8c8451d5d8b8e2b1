"""The ID of the current request, in logs, messages to the worker, entries of the record and responses."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

HEADER = "X-Request-ID"
# The header with the ID in messages to the worker.
IN_MESSAGE = "stint_request_id"
_NAME = "request_id"
_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


def current() -> str:
    """Return the ID, or an empty string outside of requests."""
    found: str = get_contextvars().get(_NAME, "")
    return found


def make() -> str:
    """Return a new ID of 32 hexadecimal digits."""
    return secrets.token_hex(16)


def taken(said: str) -> str:
    """Return the ID from a trusted sender if it consists of 8 to 64 letters, digits, `.`, `_` and `-`,
    otherwise a new ID.
    """
    return said if _FORM.fullmatch(said) else make()


@contextmanager
def bound(id_: str) -> Iterator[None]:
    """Set the current request's ID within the block. An empty ID changes nothing."""
    tokens = bind_contextvars(**{_NAME: id_}) if id_ else {}
    try:
        yield
    finally:
        reset_contextvars(**tokens)
