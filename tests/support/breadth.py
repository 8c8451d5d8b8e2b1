"""How much of what could be tried is tried: some in ``make test``, here and in CI, and more in ``make test-all`` (``FULL=1``).
The tests are the same.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

Value = TypeVar("Value")

FULL = os.environ.get("FULL") == "1"


def examples(most: int) -> int:
    """How many examples hypothesis makes of what deserves `most` of them: a fifth in ``make test``."""
    return most if FULL else -(-most // 5)


def some(values: Sequence[Value], turn: int) -> Sequence[Value]:
    """The value whose turn it is in ``make test``, all of them otherwise: for what each of many places is tried with."""
    return values if FULL else (values[turn % len(values)],)
