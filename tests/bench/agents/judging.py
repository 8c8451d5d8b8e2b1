"""One task in one scope: is it possible, which of its calls are held, and which goals are reached?"""

from dataclasses import dataclass
from typing import Any

from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.mcp.compiling import CompiledSet
from sessions_app.policy.commands.mcp.decide import decide_call
from sessions_app.policy.commands.mcp.results import Seen, Untrusted, Value, returned
from tests.bench.agents import dojo
from tests.bench.agents.attacks import Attacker, Call, everything, planted_in


@dataclass(frozen=True)
class Played:
    """A task that was played: the verdict on each call, and what later decisions know."""

    verdicts: tuple[tuple[str, str], ...]
    returned: dict[Value, int]
    untrusted: Untrusted | None

    @property
    def possible(self) -> bool:
        """Whether each call is made, perhaps after a person allowed it."""
        return all(verdict in ("made", "held") for _, verdict in self.verdicts)

    @property
    def held(self) -> int:
        """The number of calls that wait for a person."""
        return sum(verdict == "held" for _, verdict in self.verdicts)


def verdict(compiled: CompiledSet, call: Call, seen: Seen) -> str:
    """Return what the policy says of a call: made, held, or why it is refused."""
    answer = decide_call(compiled, *call, seen)
    return answer.reason if isinstance(answer, Refused) else "held" if answer.hold else "made"


def play(
    version: str, suite: str, task: Any, compiled: CompiledSet, planted: str | None = None
) -> tuple[Played, Any]:
    """Play a task's solution, deciding each call by the set. Return also the environment afterwards."""
    environment = dojo.start(version, suite, task, planted)
    verdicts, seen, untrusted = [], {}, None
    for run, (name, arguments) in enumerate(dojo.calls(task, environment), 1):
        verdicts.append((name, verdict(compiled, (name, arguments), Seen(seen, untrusted))))
        result = dojo.run(version, suite, environment, name, arguments)
        if verdicts[-1][1] in ("made", "held"):
            seen |= dict.fromkeys(returned(result, compiled.fields.get(name, ())), run)
            if name in compiled.untrusted and untrusted is None:
                untrusted = Untrusted(run, name)
    return Played(tuple(verdicts), seen, untrusted), environment


def reached(
    version: str, suite: str, task: Any, calls: list[Call], compiled: CompiledSet, untrusted: Untrusted | None
) -> bool:
    """Whether an attacker reaches the goal of these calls."""
    seen: dict[Value, int] = {}
    for planted in planted_in(calls):
        played, environment = play(version, suite, task, compiled, planted)
        seen |= played.returned
        seen |= dict.fromkeys(everything(version, suite, environment, compiled), 1)
    attacker = Attacker(compiled, Seen(seen, untrusted))
    return all(attacker.lets(one) for one in calls)
