"""The timing tests that failed and then passed alone, in the last five full runs: one that did so twice
fails.

The list is stored outside the repository, so that new clones use it too.
"""

import datetime as dt
import json
import os
from collections import Counter
from pathlib import Path

RUNS = 5


def again_unsteady(names: list[str]) -> list[str]:
    """Save the unsteady tests of this run, and return those that were also unsteady in one of the last
    runs.
    """
    file = _file()
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    runs = [*before, {"at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "unsteady": names}][-RUNS:]
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps(runs, indent=1), encoding="utf-8")
    written.replace(file)
    times = Counter(name for run in runs for name in run["unsteady"])
    return [name for name in names if times[name] > 1]


def _file() -> Path:
    # https://specifications.freedesktop.org/basedir-spec/latest/
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "stint-tests" / "unsteady.json"
