"""What breaks when: the same for the same seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

EVERY = 10.0
# Seconds at the end in which nothing new breaks, so that what was broken can come to its end.
QUIET = 15.0


@dataclass(frozen=True)
class Kind:
    """A kind of fault. ``places`` are those that it can hit, ``lasts`` the fewest and the most seconds.

    ``shows`` has the failures of ARCHITECTURE.md's failure contract that it causes, as that table names them.
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
    """Return the faults of a run of so many seconds. Each kind occurs before any occurs again. Without kinds, nothing breaks."""
    chance = random.Random(seed)
    found: list[Break] = []
    at, deck = EVERY, _shuffled(kinds, chance)
    while kinds and at + QUIET < seconds:
        name = deck.pop()
        kind = kinds[name]
        lasts = round(chance.uniform(*kind.lasts), 1)
        found.append(Break(at, name, chance.choice(kind.places), lasts))
        # What lasts longer than the time to the next one is alone for as long.
        at += EVERY * max(1, -(-(lasts + 2) // EVERY))
        deck = deck or _shuffled(kinds, chance)
    return found


def _shuffled(kinds: Mapping[str, Kind], chance: random.Random) -> list[str]:
    deck = sorted(kinds)
    chance.shuffle(deck)
    return deck
