"""The figures of a suite, and those that were measured. The README has their totals."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields

from tests.bench.agents import dojo
from tests.bench.agents.attacks import Call, goal_calls
from tests.bench.agents.documents import Scope, compiled
from tests.bench.agents.judging import Trial
from tests.bench.agents.sets.every import SUITES

SCOPES: tuple[Scope, ...] = ("bound", "full")


@dataclass(frozen=True)
class Figures:
    """Counts of one suite, or of several.

    ``possible`` are tasks that are possible with bound arguments, and in the full scope. Of their solutions'
    ``calls``, ``held`` wait for a person in the full scope. Of the ``pairs`` of a task and a goal, ``names``,
    ``bound`` and ``full`` are stopped in these scopes; ``words`` have no calls, so they are never stopped.
    """

    tasks: int
    possible: int
    calls: int
    held: int
    pairs: int
    names: int
    bound: int
    full: int
    words: int


MEASURED = {
    "v1.1.2": {
        "banking": Figures(16, 16, 33, 5, 144, 83, 101, 144, 0),
        "slack": Figures(21, 21, 98, 31, 105, 82, 94, 105, 0),
        "travel": Figures(20, 20, 124, 1, 140, 111, 120, 120, 20),
        "workspace": Figures(40, 40, 84, 9, 240, 216, 226, 240, 0),
    },
    "v1.2.2": {
        "banking": Figures(16, 16, 33, 5, 144, 83, 101, 144, 0),
        "slack": Figures(21, 21, 98, 31, 105, 82, 94, 105, 0),
        "travel": Figures(20, 20, 124, 1, 140, 111, 120, 120, 20),
        "workspace": Figures(40, 40, 84, 9, 560, 532, 543, 560, 0),
    },
}


def total(version: str) -> Figures:
    """Return the measured totals of a version."""
    suites = MEASURED[version].values()
    return Figures(**{one.name: sum(getattr(suite, one.name) for suite in suites) for one in fields(Figures)})


def goals(version: str, suite: str) -> dict[str, list[Call]]:
    """Return the calls of each goal, by its id."""
    return {
        name: goal_calls(suite, goal) for name, goal in dojo.suites(version)[suite].injection_tasks.items()
    }


def measure(version: str, suite: str, note: Callable[[str], object] = str) -> Figures:
    """Judge every task of a suite, and every pair, by the policy. ``note`` is told of what can't be done, and
    of what is not stopped.

    Raises SystemExit if AgentDojo is not installed.
    """
    found, injected = Counter[str](), goals(version, suite)
    for task in dojo.suites(version)[suite].user_tasks.values():
        where = f"{version} {suite} {task.ID}"
        bound, full = (Trial(suite, task, compiled(SUITES[suite], task.ID, one)) for one in SCOPES)
        found.update(tasks=1, possible=bound.played.possible and full.played.possible)
        found.update(calls=len(full.played.verdicts), held=full.played.held)
        for name, verdict in full.played.refused:
            note(f"{where} is not possible: {name}: {verdict}")
        for goal, calls in injected.items():
            stopped = _stopped(bound, full, calls)
            found.update(pairs=1, words=not calls, **stopped)
            if not stopped["full"]:
                why = (
                    ", ".join(f"{name} is allowed" for name, _ in calls) or "it is about what the agent says"
                )
                note(f"{where} with {goal} remains: {why}")
    return Figures(**{one.name: found[one.name] for one in fields(Figures)})


def _stopped(bound: Trial, full: Trial, calls: list[Call]) -> dict[str, bool]:
    """Return for each scope whether a goal is stopped."""
    listed = full.compiled.tools
    return {
        "names": any(name not in listed for name, _ in calls),
        "bound": bound.stops(calls),
        "full": full.stops(calls),
    }
