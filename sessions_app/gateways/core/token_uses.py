"""Tokens in use at the gateway: one session for each token at each target, opened by the first request."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from broker.kernel.errors import StintError, Unavailable
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.opening import open_by_token
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.operations.sessions.authorize_use import TokenUse

U = TypeVar("U", bound=TokenUse)

# Seconds without a request after which a session is closed.
IDLE_S = 900.0
LOOK_S = 30.0
MOST_AT_ONCE = 256

_Key = tuple[int, int]


class TooManyAtOnce(StintError):
    """The token has reached the maximum number of simultaneous requests. Wait for one to finish."""

    code = "too_many_at_once"
    status = 429


class TokenUses(Generic[U]):
    """All tokens in use in this process."""

    def __init__(self, shared: Shared, *, most: int = MOST_AT_ONCE) -> None:
        """``most`` is the maximum number of simultaneous requests with one token."""
        self._shared, self._most = shared, most
        self._open: dict[_Key, OpenSession[U]] = {}
        self._last: dict[_Key, float] = {}
        # One lock for each token while its session is being opened.
        self._locks: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    async def session_of(self, use: U, client: str) -> OpenSession[U]:
        """Return the open session of a token at a target, and open one if there is none.

        Raises StintError, and Unavailable if the gateway has closed in the meantime, because its cuts did
        not include this session.
        """
        key = (use.credential_id, use.target.id)
        found = self._open.get(key)
        if found is None or found.closed:
            found = await self._opened(key, use, client)
        self._last[key] = asyncio.get_running_loop().time()
        if closed := self._shared.closed_because():
            raise Unavailable(f"{closed.rstrip('.').capitalize()}.", hint="Try again in a moment.")
        if len(found.users) >= self._most:
            raise TooManyAtOnce("Too many concurrent requests.", hint=f"At most {self._most} are allowed.")
        return found

    async def _opened(self, key: _Key, use: U, client: str) -> OpenSession[U]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            found = self._open.get(key)
            if found is None or found.closed:
                found = self._open[key] = await open_by_token(
                    self._shared.node, self._shared.database, use, client=client, good_until=use.good_until
                )
        return found

    async def drop_unused(self) -> None:
        """Close sessions that have not been used for a while, forever."""
        while True:
            await asyncio.sleep(LOOK_S)
            now = asyncio.get_running_loop().time()
            for key, session in list(self._open.items()):
                if not session.closed and not session.users and now - self._last[key] > IDLE_S:
                    session.close("idle")
                if session.closed:
                    del self._open[key], self._last[key]
