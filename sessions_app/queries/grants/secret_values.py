"""The key under which a grant's secret values are recorded as digests."""

from __future__ import annotations

from collections.abc import Callable

from broker.kernel.crypto import keyed_digests


def secret_digests(mark: str) -> Callable[[bytes], bytes]:
    """Return the function that computes the digests of a grant's secret values. ``mark`` is the grant
    mark.
    """
    return keyed_digests(f"secret values of {mark}")
