"""`make mutants`: small faults are put into the code that decides and ends, one at a time, and its tests have to notice.

Of all that can be made (some 16,000), as many are tried as N says, 400 unless told otherwise, picked by SEED, but none that only
changes a sentence: no test has to repeat each word that people read. What was not noticed is printed as a difference, and the
status is 1 when fewer than 85 of 100 were noticed. Code and tests are those of `[tool.mutmut]` in pyproject.toml; all of it happens
in a copy of the project, in `.cache/mutants`. Run as a file and not as a module of `tests`, which would stay loaded where the
copy's has to be.
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
# What mutmut calls a mutant that its tests noticed: by failing, by never ending, or by taking the process down.
NOTICED = {"killed", "timeout", "segfault", "caught by type check"}


def main(most: int, seed: int) -> int:
    """Try the mutants, print what became of them by part, and return the exit status."""
    shutil.rmtree(COPY, ignore_errors=True)
    LOG.unlink(missing_ok=True)
    shutil.copytree(ROOT, COPY, ignore=KEPT_OUT, symlinks=True)
    # mutmut reads pyproject.toml where it is called, and its own copies are made below.
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
    """Write what is printed inside to the log."""
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
    """Whether nothing is different but the words of a text that has several."""
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
    """The package that a mutant is in: `sessions_app.policy.commands.ssh`."""
    return name.partition(".x")[0].rpartition(".")[0]


if __name__ == "__main__":
    sys.exit(main(int(os.environ.get("N") or 400), int(os.environ.get("SEED") or 1)))
