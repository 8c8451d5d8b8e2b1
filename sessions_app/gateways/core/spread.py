"""How often each of many gateways queries the database, so that in total they send no more queries than a few
would.
"""

from __future__ import annotations

import random

# Up to this many gateways, each queries as often as one alone. More of them share that rate.
FEW = 8


def spread(seconds: float, *, gateways: int, most: float) -> float:
    """Return the seconds until the next query: at most ``seconds`` for a few gateways, and ``most`` for many.

    The result is random, at least half of that, so that gateways that were woken together don't query
    together.
    """
    return min(most, seconds * max(1.0, gateways / FEW)) * (0.5 + random.random() / 2)  # noqa: S311  # no secret
