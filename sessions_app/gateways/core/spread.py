"""The interval at which each gateway queries the database, so that many gateways together send no more
queries than a few would.
"""

from __future__ import annotations

import random

# With up to this many gateways, each queries as often as a single gateway would. With more, they share that
# rate.
FEW = 8


def spread(seconds: float, *, gateways: int, most: float) -> float:
    """Return the seconds until the next query: at most ``seconds`` for a few gateways, and ``most`` for many.

    The result is random, at least half of that, so that gateways that were woken at the same time don't
    query at the same time.
    """
    return min(most, seconds * max(1.0, gateways / FEW)) * (0.5 + random.random() / 2)  # noqa: S311  # no secret
