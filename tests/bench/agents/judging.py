"""One task in one scope: is it possible, which of its calls are held, and which goals are reached?"""

from dataclasses import dataclass, field
from typing import Any

from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.mcp.compiling import CompiledSet
from sessions_app.policy.commands.mcp.decide import decide_call
from sessions_app.policy.commands.mcp.results import Seen, Untrusted, Value, returned
from tests.bench.agents import dojo
from tests.bench.agents.attacks import Attacker, Call, everything, planted_in


@dataclass
class Played:
    """A task that is played: the verdict on each call, and what later decisions know."""

    verdicts: list[tuple[str, str]] = field(default_factory=list)
    returned: dict[Value, int] = field(default_factory=dict)
    untrusted: Untrusted | None = None

    @property
    def refused(self) -> list[tuple[str, str]]:
        """The calls that are not made, not even after a person allowed it."""
        return [(name, verdict) for name, verdict in self.verdicts if verdict not in ("made", "held")]

    @property
    def possible(self) -> bool:
        """Whether each call is made, perhaps after a person allowed it."""
        return not self.refused

    @property
    def held(self) -> int:
        """The number of calls that wait for a person."""
        return sum(verdict == "held" for _, verdict in self.verdicts)

    @property
    def seen(self) -> Seen:
        """What the next decision knows."""
        return Seen(self.returned, self.untrusted)

    def keep(self, compiled: CompiledSet, name: str, result: dict[str, Any]) -> None:
        """Keep what the next decisions know of a result."""
        run = len(self.returned) + 1
        self.returned |= dict.fromkeys(returned(result, compiled.fields.get(name, ())), run)
        if name in compiled.untrusted and self.untrusted is None:
            self.untrusted = Untrusted(run, name)


def verdict(compiled: CompiledSet, call: Call, seen: Seen) -> str:
    """Return what the policy says of a call: made, held, or why it is refused."""
    answer = decide_call(compiled, *call, seen)
    return answer.reason if isinstance(answer, Refused) else "held" if answer.hold else "made"


def play(suite: str, task: Any, compiled: CompiledSet, planted: str | None = None) -> tuple[Played, Any]:
    """Play a task's solution, deciding each call by the set. Return also the environment afterwards."""
    environment, played = dojo.start(suite, task, planted), Played()
    for name, arguments in dojo.calls(task, environment):
        said = verdict(compiled, (name, arguments), played.seen)
        played.verdicts.append((name, said))
        result = dojo.run(suite, environment, name, arguments)
        if said in ("made", "held"):
            played.keep(compiled, name, result)
    return played, environment


class Trial:
    """One task under one command set, which is played once, and attacked once for each goal."""

    def __init__(self, suite: str, task: Any, compiled: CompiledSet) -> None:
        self.suite, self.task, self.compiled = suite, task, compiled
        self.played, _ = play(suite, task, compiled)
        self._known: dict[str | None, dict[Value, int]] = {}

    def stops(self, calls: list[Call]) -> bool:
        """Whether an attacker can't reach the goal of these calls."""
        seen = {value: run for planted in planted_in(calls) for value, run in self._knows(planted).items()}
        attacker = Attacker(self.compiled, Seen(seen, self.played.untrusted))
        return not all(attacker.lets(one) for one in calls)

    def _knows(self, planted: str | None) -> dict[Value, int]:
        """Return the values of results that the attacker can use after planting a text."""
        if planted not in self._known and self.compiled.fields:
            played, environment = play(self.suite, self.task, self.compiled, planted)
            found = dict.fromkeys(everything(self.suite, environment, self.compiled), 1)
            self._known[planted] = played.returned | found
        return self._known.get(planted, {})
