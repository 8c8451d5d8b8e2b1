"""The id of the request that this thread or task works for, from the edge to the target: in logs, messages, entries and answers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

HEADER = "X-Request-ID"
# The header of a message to the worker.
IN_MESSAGE = "stint_request_id"
_NAME = "request_id"
_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


def current() -> str:
    """Return the id; empty if this is not done for a request."""
    found: str = get_contextvars().get(_NAME, "")
    return found


def make() -> str:
    """Return a new id: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def taken(said: str) -> str:
    """Return the id that a trusted sender gave if it is 8 to 64 letters, digits, `.`, `_` and `-`; else a new one."""
    return said if _FORM.fullmatch(said) else make()


@contextmanager
def bound(id_: str) -> Iterator[None]:
    """Work for the request with this id inside the block; empty: for none."""
    tokens = bind_contextvars(**{_NAME: id_}) if id_ else {}
    try:
        yield
    finally:
        reset_contextvars(**tokens)
