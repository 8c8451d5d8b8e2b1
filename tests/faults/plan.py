"""The schedule of faults: the same for the same seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

EVERY = 10.0
# Seconds at the end without new faults, so that the last effects can end.
QUIET = 15.0


@dataclass(frozen=True)
class Kind:
    """A kind of fault. ``places`` are the parts that it can affect, ``lasts`` its shortest and longest
    duration in seconds.

    ``shows`` lists the failures that it causes, as named in the failure contract in ARCHITECTURE.md.
    """

    places: Sequence[str]
    lasts: tuple[float, float]
    shows: Sequence[str]


@dataclass(frozen=True)
class Break:
    """One fault: ``at`` and ``lasts`` are seconds, the first since the start of the run."""

    at: float
    kind: str
    place: str
    lasts: float


def planned(kinds: Mapping[str, Kind], *, seconds: float, seed: int) -> list[Break]:
    """Return the faults of a run of so many seconds. Each kind occurs before any occurs again. Without kinds,
    nothing breaks.
    """
    chance = random.Random(seed)
    found: list[Break] = []
    at, deck = EVERY, _shuffled(kinds, chance)
    while kinds and at + QUIET < seconds:
        name = deck.pop()
        kind = kinds[name]
        lasts = round(chance.uniform(*kind.lasts), 1)
        found.append(Break(at, name, chance.choice(kind.places), lasts))
        # A fault that lasts longer than the interval delays the next one.
        at += EVERY * max(1, -(-(lasts + 2) // EVERY))
        deck = deck or _shuffled(kinds, chance)
    return found


def _shuffled(kinds: Mapping[str, Kind], chance: random.Random) -> list[str]:
    deck = sorted(kinds)
    chance.shuffle(deck)
    return deck
