"""How much of what could be tried is tried: ``make test`` tries every value, role and page once, here and in CI, and
``make test-all`` all that they make together (``FULL=1``). The tests are the same.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

Case = TypeVar("Case")
Value = TypeVar("Value")

FULL = os.environ.get("FULL") == "1"


def examples(most: int) -> int:
    """How many examples hypothesis makes of what deserves `most` of them: a fifth in ``make test``."""
    return most if FULL else -(-most // 5)


def some(values: Sequence[Value], turn: int) -> Sequence[Value]:
    """The value whose turn it is in ``make test``, all of them otherwise: for what each of many places is tried with."""
    return values if FULL else (values[turn % len(values)],)


def spread(cases: Sequence[tuple[Case, Sequence[str]]]) -> list[Case]:
    """Some of the cases, in their order, so that each choice is in one of them at least. A case comes with its choices.

    What is chosen together, such as a row of a table, is one choice, so that no row is left out.
    """
    choices = [chosen for _, chosen in cases]
    missing = set(itertools.chain.from_iterable(choices))
    used: Counter[str] = Counter()
    taken: set[int] = set()
    while missing:
        # What brings most that is new, and of that what is otherwise tried least.
        best = max(
            (number for number in range(len(cases)) if number not in taken),
            key=lambda number: (
                sum(one in missing for one in choices[number]),
                -sum(used[one] for one in choices[number]),
            ),
        )
        taken.add(best)
        used.update(choices[best])
        missing.difference_update(choices[best])
    return [case for number, (case, _) in enumerate(cases) if number in taken]
