"""Limits the connections of clients that have not authenticated."""

from __future__ import annotations

from collections import Counter

from broker.kernel.networks import source_of


class Unproven:
    """Counts unauthenticated connections by their address; for IPv6, by its /64."""

    def __init__(self, most: int, *, per_address: int) -> None:
        self._most, self._per_address = most, per_address
        # Connections reserved for addresses that have none yet, so that a few addresses can't lock out all
        # others.
        self._kept_free = most // 4
        self._counts: Counter[str] = Counter()

    def arrive(self, address: str) -> str:
        """Count a new connection and return an empty string. If the connection is refused, return the reason
        without counting it.
        """
        place = source_of(address)
        theirs = self._counts[place]
        if theirs >= self._per_address:
            return "too many connections from that address"
        if self._counts.total() >= self._most - (self._kept_free if theirs else 0):
            return "too many"
        self._counts[place] += 1
        return ""

    def depart(self, address: str) -> None:
        """Stop counting a connection that has authenticated or closed."""
        place = source_of(address)
        self._counts[place] -= 1
        if self._counts[place] <= 0:
            del self._counts[place]
