"""New connections: each gets a slot, and then TLS.

Connections are counted before the handshake, so that those that never complete one also count.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from broker.kernel.errors import StintError
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.unproven import Unproven

# Seconds for the TLS handshake.
HANDSHAKE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Maximum numbers of connections: in total, of one grant, without a valid token in total, and without a
    valid token from one address (IPv6: from one /64).
    """

    connections: int = 2000
    per_grant: int = 500
    unproven: int = 400
    per_address: int = 100


LIMITS = Limits()


class ShareTaken(StintError):
    """The grant has reached the maximum number of connections. Close some of them."""

    code = "too_many_connections"
    status = 429


class Slots:
    """The slots for connections."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unproven = Unproven(limits.unproven, per_address=limits.per_address)
        self._taken: set[Slot] = set()
        self._of_grants: Counter[int] = Counter()

    def take(self, address: str) -> Slot | None:
        """Return a slot for a connection from an address. If there is none, count that in the metrics and
        return None.
        """
        full = len(self._taken) >= self._limits.connections
        why = "too many" if full else self._unproven.arrive(address)
        if why:
            metrics.CONNECTIONS_REFUSED.labels(why).inc()
            return None
        place = Slot(self, address)
        self._taken.add(place)
        return place

    def known(self, address: str) -> None:
        """Stop counting a connection from an address as unauthenticated."""
        self._unproven.depart(address)

    def give(self, grant_id: int) -> None:
        """Count a connection of a grant. Raises ShareTaken."""
        most = self._limits.per_grant
        if self._of_grants[grant_id] >= most:
            raise ShareTaken(
                "Too many connections with this grant are open.",
                hint=f"Close some: at most {most} are allowed.",
            )
        self._of_grants[grant_id] += 1

    def take_back(self, grant_id: int) -> None:
        """Stop counting a connection of a grant."""
        self._of_grants[grant_id] -= 1
        if not self._of_grants[grant_id]:
            del self._of_grants[grant_id]

    def leave(self, place: Slot) -> None:
        """Free a slot. Safe to repeat."""
        self._taken.discard(place)


class Slot:
    """The slot of one connection, which has one request at a time.

    The slot counts for the grant that used it last.
    """

    def __init__(self, places: Slots, address: str) -> None:
        self._places, self._address = places, address
        self._known = False
        self._grant_id: int | None = None

    def proven(self, grant_id: int) -> None:
        """Count the connection for a grant, and no longer as unauthenticated. Safe to repeat.

        Raises ShareTaken, in which case the count is unchanged.
        """
        if grant_id != self._grant_id:
            self._places.give(grant_id)
            self._take_back()
            self._grant_id = grant_id
        self._is_known()

    def leave(self) -> None:
        """Free the slot. Safe to repeat."""
        self._is_known()
        self._take_back()
        self._places.leave(self)

    def _is_known(self) -> None:
        if not self._known:
            self._known = True
            self._places.known(self._address)

    def _take_back(self) -> None:
        if self._grant_id is not None:
            self._places.take_back(self._grant_id)
            self._grant_id = None


# Returns the protocol of a connection after its TLS handshake.
Serve = Callable[[Slot], asyncio.BaseProtocol]


class Arrivals:
    """Accepts TCP connections: each gets a slot, then TLS, then the protocol from ``serve``, which frees the
    slot.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        limits: Limits,
        serve: Serve,
        *,
        greet: Callable[[socket.socket], Awaitable[Serve | None]] | None = None,
    ) -> None:
        """``greet`` is for protocols that exchange messages before TLS.

        It returns the function that serves the connection instead of ``serve``; None if no handshake follows.
        """
        self._context, self._serve, self._greet = context, serve, greet
        self._places = Slots(limits)
        self._handshakes: set[asyncio.Task[None]] = set()

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol for a listener without TLS."""
        return _Arrival(self._arrived)

    def close(self) -> None:
        """Drop all connections that are in their handshake."""
        for task in self._handshakes:
            task.cancel()

    def _arrived(self, address: str, accepted: asyncio.Transport) -> None:
        place = self._places.take(address)
        if place is None:
            return
        try:
            # The transport closes its own socket, so this is a copy.
            sock = accepted.get_extra_info("socket").dup()
        except OSError:
            place.leave()
            return
        task = asyncio.create_task(self._shake_hands(sock, place))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, sock: socket.socket, place: Slot) -> None:
        serve = await self._greeted(sock)
        if serve is None:
            sock.close()
            place.leave()
            return
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: serve(place), sock, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError:
            place.leave()

    async def _greeted(self, sock: socket.socket) -> Serve | None:
        if self._greet is None:
            return self._serve
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(HANDSHAKE_S):
                return await self._greet(sock)
        return None


class _Arrival(asyncio.Protocol):
    """A connection that was just accepted.

    asyncio does not expose the address between accept and handshake, so the socket is taken from its
    transport, which has read nothing yet.
    """

    def __init__(self, arrived: Callable[[str, asyncio.Transport], None]) -> None:
        self._arrived = arrived

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast("asyncio.Transport", transport)
        self._arrived(str((accepted.get_extra_info("peername") or ("",))[0]), accepted)
        accepted.abort()
