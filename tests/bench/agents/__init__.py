"""What a grant for one task stops: the suites of AgentDojo, judged by their solutions, without a model.

Each task has a command set that is written from its prompt (`sets`). Its solution must be possible; each pair
of a task and an injected goal should be stopped (`attacks` says what the attacker can do). Compared are three
scopes:

- names: the grant lists tools, as peers do;
- bound: its arguments are also bound to what the prompt says;
- full: sinks that the prompt leaves open are held, values come from results, and changes after text from
  outsiders are held if they tell other people anything the prompt does not say.

Tasks and pairs are decided by the policy, because an attacker tries many calls for each. Each task is also
played through a real gateway, with its held calls allowed by a person, and then the calls of all injected
goals under the same grant. The gateway must answer each call as the policy does.

It shows nothing about models: none runs, and one that follows no injected instruction loses nothing. What an
agent says to its user passes no gateway of tools. People who allow a held call may be wrong. A set that is
written badly stops less.

`make test` measures what the policy decides in both versions, and plays one suite through a gateway
(`tests/test_agents_bench.py`); this plays all of them.
"""

import importlib

from tests.bench.report import Report


def run(report: Report) -> None:
    """Measure."""
    importlib.import_module("tests.bench.agents.running").run(report)
