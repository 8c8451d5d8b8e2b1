"""Judges from the observations whether the promises were kept. Pure, so that it can be tested without a
stack.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# The limits of ARCHITECTURE.md, in seconds, until a process has exited: after the grant's end; after the
# target is back,
# if it was down; and after a gateway has been without its database for ten seconds.
LATEST, LATEST_AWAY, LATEST_UNTOLD = 2.0, 10.0, 12.0
# Seconds after its end during which a fault is still listed as a cause of lateness.
AFTERMATH = 3.0
# Seconds, at the 99th percentile.
DEADLINE_P99, REVOKE_P99 = 0.3, 1.5
RECOVERED = 15.0
# One of this many ends may be later than that; in a shorter run, one may.
OF = 100


@dataclass(frozen=True)
class Outage:
    """A fault as it happened: its start and end, in seconds of the clock used for all times here.

    ``recovered`` is the seconds until access could be started again, and ``stalled`` how many of them the
    machine stalled.
    """

    kind: str
    place: str
    began: float
    healed: float
    away: Sequence[str] = ()
    untold: bool = False
    recovered: float | None = None
    stalled: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.place}".strip()

    def overlaps(self, began: float, ended: float, *, after: float = 0.0) -> bool:
        """Whether it overlaps the time between two moments, or the given seconds before."""
        return self.began <= ended and began <= self.healed + after


@dataclass(frozen=True)
class Use:
    """A process on a target for a grant. It was last seen at ``gone``; None: it is still running.

    ``ended`` is when the grant ended, by ``cause``: `deadline` or `revoke`. ``stalled`` is for how many
    seconds the machine stalled after that. ``direct``: it uses no gateway, so the target itself is called at
    a deadline.
    """

    grant: str
    kind: str
    target: str
    cause: str
    ended: float
    gone: float | None
    stalled: float = 0.0
    direct: bool = False


@dataclass
class Facts:
    """The observations of a run, and the ``problems`` seen during it, by the promise that they break."""

    uses: list[Use] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    grants: int = 0
    # For how many seconds of the run the machine stalled.
    stalled: float = 0.0
    lasted: float = 0.0


@dataclass(frozen=True)
class Late:
    """How late a use ended, its limit, and the fault that overlapped it.

    ``usual``: no fault with a different limit overlapped it.
    """

    use: Use
    seconds: float
    limit: float
    during: str
    usual: bool = True

    @property
    def broken(self) -> bool:
        """Whether it was later than its limit. Only the measured stalls of the machine are excluded."""
        return self.seconds - self.use.stalled > self.limit


def lateness(use: Use, outages: Iterable[Outage]) -> Late:
    """Return how late a use ended: the time since its end, or since its target came back."""
    gone = math.inf if use.gone is None else use.gone
    last = max(use.ended, gone)
    near = [one for one in outages if one.overlaps(use.ended, last, after=AFTERMATH)]
    met = [one for one in near if one.overlaps(use.ended, last)]
    away = [one for one in met if use.target in one.away]
    silent = any(one.untold for one in met)
    untold = silent and use.cause == "revoke"
    usual = not away and not untold and not (silent and use.direct)
    limit = LATEST_AWAY if away else LATEST_UNTOLD if untold else LATEST
    since = max([use.ended, *(one.healed for one in away)])
    seconds = max(0.0, gone - since)
    return Late(use, seconds, limit, ", ".join(sorted({str(one) for one in near})) or "nothing broken", usual)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile by nearest rank; 0 without values."""
    ordered = sorted(values)
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1] if ordered else 0.0


def broken(facts: Facts) -> list[str]:
    """Return a sentence for each promise that was not kept. All are judged, even on a busy machine."""
    lates = [lateness(use, facts.outages) for use in facts.uses]
    return [
        *(
            f"late: {one.use.kind} of {one.use.grant} on {one.use.target} ended {one.seconds:.2f} s after its"
            f" {one.use.cause} (limit {one.limit:.2f} s, stalled {one.use.stalled:.2f} s, {one.during})"
            for one in lates
            if one.broken
        ),
        *(
            f"late: {len(over)} of {count} ended more than {most:g} s after their {cause} ({_may(count)} may)"
            for cause, most in (("deadline", DEADLINE_P99), ("revoke", REVOKE_P99))
            for count, over in [_over(lates, cause, most)]
            if len(over) > _may(count)
        ),
        *(
            f"slow: {one} was over, but nothing could be started for another {one.recovered:.1f} s "
            f"(limit {RECOVERED:g} s, stalled {one.stalled:.1f} s)"
            for one in facts.outages
            if one.recovered is not None and one.recovered - one.stalled > RECOVERED
        ),
        *(f"{promise}: {what}" for promise, what in facts.problems),
        *([] if facts.uses else ["nothing: no grant was used, so no promise was shown"]),
    ]


def _may(count: int) -> int:
    """Return how many may exceed the limit of the 99th percentile."""
    return math.ceil(count / OF)


def _over(lates: Sequence[Late], cause: str, most: float) -> tuple[int, list[Late]]:
    """Return the number of usual uses, and those of them that were later than ``most``."""
    judged = [one for one in lates if one.use.cause == cause and one.usual]
    return len(judged), [one for one in judged if one.seconds - one.use.stalled > most]


def report(facts: Facts) -> str:
    """Return the figures: lateness by cause and by the fault at the time, and counts."""
    lates = [lateness(use, facts.outages) for use in facts.uses]
    lines = [f"{'end':10} {'while':58} {'uses':>5} {'median':>8} {'p99':>8} {'last':>8}"]
    for cause in ("deadline", "revoke"):
        of_cause = [one for one in lates if one.use.cause == cause]
        groups = [("everything", of_cause)]
        groups += [
            (f"of {name}", [one for one in of_cause if one.use.target == name])
            for name in sorted({one.use.target for one in of_cause})
        ]
        groups += [
            (name, [one for one in of_cause if one.during == name])
            for name in sorted({one.during for one in of_cause})
        ]
        for name, group in groups:
            took = [one.seconds for one in group]
            figures = " ".join(
                f"{value:7.2f}s"
                for value in (percentile(took, 50), percentile(took, 99), max(took, default=0.0))
            )
            lines.append(f"{cause:10} {name[:58]:58} {len(took):5} {figures}")
    kinds = Counter(use.kind for use in facts.uses)
    lines.append("used: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    words = [promise for promise, _ in facts.problems]
    counts = ", ".join(
        f"{words.count(word)} {word}"
        for word in ("lost", "doubled", "unrecorded", "stuck", "used after the end")
    )
    for cause, most in (("deadline", DEADLINE_P99), ("revoke", REVOKE_P99)):
        count, over = _over(lates, cause, most)
        lines.append(f"{cause}: {len(over)} of {count} were later than {most:g} s; {_may(count)} may be")
    lines.append(
        f"the machine stalled for {facts.stalled:.1f} of {facts.lasted:.0f} s; no limit leaves out more than"
        " that"
    )
    return "\n".join([*lines, f"{facts.grants} grants, {len(facts.uses)} uses: {counts}"])
