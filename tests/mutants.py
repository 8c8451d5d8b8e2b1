"""`make mutants`: mutation tests of the code that decides and ends access.

Of some 16,000 possible mutants, N are tried (400 by default), chosen by SEED, except those that only change
the text of a message. Undetected mutants are printed as diffs, and the exit status is 1 if fewer than 85 %
were detected. Code and tests are those of `[tool.mutmut]` in pyproject.toml; everything runs in a copy of the
project, in `.cache/mutants`. Run this as a file, not as a module of `tests`, so that the package `tests` is
loaded from the copy.
"""

import contextlib
import itertools
import os
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / ".cache" / "mutants"
LOG = ROOT / ".cache" / "mutants.log"
KEPT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".stint", ".hypothesis", "__pycache__", "*_cache"
)
LEAST = 0.85
_SENTENCE = re.compile(r"""f?(["'])(?:(?!\1).)* (?:(?!\1).)*\1""")
# mutmut's statuses for a detected mutant: its tests failed, timed out, or crashed.
NOTICED = {"killed", "timeout", "segfault", "caught by type check"}


def main(most: int, seed: int) -> int:
    """Try the mutants, print the results by package, and return the exit status."""
    shutil.rmtree(COPY, ignore_errors=True)
    LOG.unlink(missing_ok=True)
    shutil.copytree(ROOT, COPY, ignore=KEPT_OUT, symlinks=True)
    # mutmut reads pyproject.toml from the working directory, and writes its copies below it.
    os.chdir(COPY)
    from mutmut import __main__ as mutmut

    print(f"Making the mutants; mutmut writes to {LOG}", flush=True)
    with _to_log():
        names = _made(mutmut)
    random.Random(seed).shuffle(names)
    changing = (name for name in names if not _is_wording(mutmut.get_diff_for_mutant(name)))
    picked = list(itertools.islice(changing, most))
    print(f"Trying {len(picked)} of {len(names)} mutants (SEED={seed})", flush=True)
    with _to_log():
        mutmut._run(picked, os.cpu_count())
    tried = {
        name: mutmut.status_by_exit_code[code]
        for _, name, code in mutmut.collect_source_file_mutation_data(mutant_names=picked)[0]
    }
    return _tell(mutmut, tried)


@contextlib.contextmanager
def _to_log() -> Iterator[None]:
    """Redirect output within the block to the log."""
    before = os.dup(1)
    sys.stdout.flush()
    with LOG.open("ab") as log:
        os.dup2(log.fileno(), 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)
        os.close(before)


def _made(mutmut: Any) -> list[str]:
    """Make the mutants, and return their names."""
    (COPY / "mutants").mkdir()
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.create_mutants(os.cpu_count() or 1)
    return sorted(name for _, name, _ in mutmut.collect_source_file_mutation_data(mutant_names=())[0])


def _is_wording(difference: str) -> bool:
    """Whether only the text of a message differs."""
    before, after = (
        _SENTENCE.sub(
            '""', "".join(line[1:] for line in difference.splitlines()[2:] if line.startswith(mark))
        )
        for mark in "-+"
    )
    return before == after


def _tell(mutmut: Any, tried: dict[str, str]) -> int:
    missed = [name for name, status in tried.items() if status not in NOTICED]
    for name in missed:
        print(f"\n{name}: {tried[name]}\n{mutmut.get_diff_for_mutant(name)}")
    all_of, left = Counter(map(_part, tried)), Counter(map(_part, missed))
    print()
    for part in sorted(all_of):
        print(f"{part:40} {all_of[part] - left[part]:5} of {all_of[part]:5} noticed")
    score = 1 - len(missed) / len(tried)
    print(f"\n{score:.1%} noticed; at least {LEAST:.0%} have to be")
    return int(score < LEAST)


def _part(name: str) -> str:
    """Return the package of a mutant: `sessions_app.policy.commands.ssh`."""
    return name.partition(".x")[0].rpartition(".")[0]


if __name__ == "__main__":
    sys.exit(main(int(os.environ.get("N") or 400), int(os.environ.get("SEED") or 1)))
