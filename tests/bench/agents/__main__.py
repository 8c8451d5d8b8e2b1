"""`python -m tests.bench.agents SUITE`: print each prompt of a suite beside the lines that are written from
it.
"""

import json
import sys

from tests.bench.agents import dojo
from tests.bench.agents.documents import document
from tests.bench.agents.sets.every import SUITES


def main(suite: str) -> None:
    """Print them."""
    for version in dojo.VERSIONS:
        for task in dojo.suites(version)[suite].user_tasks.values():
            print(f"\n{version} {task.ID}: {' '.join(task.PROMPT.split())}")
            for rule in document(SUITES[suite], task.ID, "full")["commands"]:
                if rule["tool"] in SUITES[suite].tasks[task.ID]:
                    print(f"    {json.dumps({key: one for key, one in rule.items() if one})}")


if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in SUITES:
        sys.exit(f"Name one suite: {', '.join(SUITES)}.")
    main(sys.argv[1])
