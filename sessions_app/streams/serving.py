"""Functions that all streams share: identifying the caller, restricting the origin, and writing with a
timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.db import close_old_connections
from django.http import HttpRequest

from accounts.factors import missing_step
from accounts.models import Identity
from accounts.sessions import SessionStore

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
P = ParamSpec("P")
T = TypeVar("T")

# In seconds. A client that reads nothing for this long counts as stalled.
PATIENCE = 10.0


async def until_gone(receive: Receive) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer(
    send: Send,
    status: int,
    body: bytes,
    more: Headers | None = None,
    content_type: str = "text/plain; charset=utf-8",
) -> None:
    """Send a whole response."""
    headers = [(b"content-type", content_type.encode()), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def write(send: Send, body: bytes, *, patience: float | None = None) -> None:
    """Write to a stream. Raises TimeoutError if the client reads nothing for ``patience`` seconds."""
    async with asyncio.timeout(patience or PATIENCE):
        await send({"type": "http.response.body", "body": body, "more_body": True})


def header(scope: Scope, wanted: bytes) -> str:
    """Return a header's value; empty if the header is missing."""
    return b"; ".join(value for name, value in scope["headers"] if name == wanted).decode("latin-1")


def cors(scope: Scope) -> Headers:
    """Return the headers that let pages of the same host read the stream from another port."""
    origin = header(scope, b"origin")
    headers = [(b"vary", b"Origin, Cookie")]
    if origin in settings.STREAMS_ORIGINS:
        headers += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
        ]
    return headers


async def signed_in(scope: Scope) -> int | None:
    """Return the id of the caller if they are signed in and enabled; otherwise None."""
    key = session_key(scope)
    person = await in_thread(person_of, key) if key else None
    return person.pk if person else None


def session_key(scope: Scope) -> str:
    """Return the key of the caller's session; empty if the request has none."""
    try:
        cookie = SimpleCookie(header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ""
    return cookie.value if cookie is not None else ""


def person_of(key: str) -> Identity | None:
    """Return the person of a session if they are signed in and enabled. Call this in a thread."""
    request = HttpRequest()
    request.session = SessionStore(key)
    person = get_user(request)
    return person if person.is_active and not missing_step(request, person) else None


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the database in a thread with a working connection."""

    def call() -> T:
        close_old_connections()
        return function(*args, **kwargs)

    return await sync_to_async(call, thread_sensitive=False)()
