"""The interval at which each gateway queries the database, so that many gateways together send no more
queries than a few would.
"""

from __future__ import annotations

import random

# Up to this number, each gateway queries as often as a single one would. Above it, the total rate stays the
# same.
FEW = 8


def spread(seconds: float, *, gateways: int, most: float) -> float:
    """Return the seconds until the next query: at most ``seconds`` for a few gateways, and ``most`` for many.

    The result is random, between half of that and all of it, so that gateways that were woken at the
    same time don't query at the same time.
    """
    return min(most, seconds * max(1.0, gateways / FEW)) * (0.5 + random.random() / 2)  # noqa: S311  # no secret
