"""The report of a benchmark run."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Report:
    """Collects figures with their limits, and prints each immediately."""

    over: list[str] = field(default_factory=list)

    def figure(
        self,
        name: str,
        value: float,
        unit: str = "",
        *,
        most: float | None = None,
        least: float | None = None,
    ):
        """Report one figure, and whether it is within its limit."""
        kept = (most is None or value <= most) and (least is None or value >= least)
        limit = f"≤ {most:g}" if most is not None else f"≥ {least:g}" if least is not None else ""
        verdict = "" if not limit else f"  [{limit} {unit}: {'kept' if kept else 'OVER'}]"
        print(f"  {name:62} {value:12,.3f} {unit:9}{verdict}", flush=True)
        if not kept:
            self.over.append(name)

    def note(self, text: str):
        """Report a figure without a limit."""
        print(f"  {text}", flush=True)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * len(ordered) + 0.5) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)
