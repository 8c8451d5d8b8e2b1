"""How often each of many gateways asks the database, so that together they do not ask more often than a few would."""

from __future__ import annotations

import random

# As many gateways ask as often as one does. More of them share that.
FEW = 8


def spread(seconds: float, *, gateways: int, most: float) -> float:
    """Return how long to wait until the next question: at most ``seconds`` for a few gateways, and ``most`` for many.

    At least half of that, at random: what is heard by all at the same moment must not have them ask together from then on.
    """
    return min(most, seconds * max(1.0, gateways / FEW)) * (0.5 + random.random() / 2)  # noqa: S311  # no secret
