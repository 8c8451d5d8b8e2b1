"""How many of the possible cases run: some in ``make test`` and in CI, more in ``make test-all``
(``FULL=1``).

The tests are the same.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

Value = TypeVar("Value")

FULL = os.environ.get("FULL") == "1"


def examples(most: int) -> int:
    """Return how many examples hypothesis tries where `most` are worthwhile: a fifth of them in ``make
    test``.
    """
    return most if FULL else -(-most // 5)


def some(values: Sequence[Value], turn: int) -> Sequence[Value]:
    """Return the value at `turn` in ``make test``, and all values otherwise, to try each of many
    places with.
    """
    return values if FULL else (values[turn % len(values)],)
