"""`python -m tests.fuzz SECONDS [NAME …]`: fuzz each parser for so long, on two cores, and keep what reaches
new code.

A failure is written to `.cache/fuzz`, and named. `KEEP=1` renews what is kept in the corpus: short inputs
that reached new code.
"""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CORPUS, FAILURES = HERE / "corpus", HERE.parents[1] / ".cache/fuzz"
# An input that takes longer is a failure: no parser may be slow. Bytes of an input, and of what is kept of a
# parser.
SLOW_S, LONGEST, KEPT, KEPT_BYTES = 5, 2048, 20, 300


def main(words: list[str]) -> int:
    """Return 0 if nothing failed."""
    if words[:1] == ["--one"]:
        return _fuzz(words[1], words[2:])
    seconds, names = int(words[0]) if words else 600, words[1:]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")
    _set_up()
    from tests.fuzz.targets import TARGETS

    if unknown := set(names) - TARGETS.keys():
        print(
            f"There is nothing to fuzz named {', '.join(sorted(unknown))}. There are: {', '.join(TARGETS)}.",
            file=sys.stderr,
        )
        return 2
    FAILURES.mkdir(parents=True, exist_ok=True)
    return max([_run(name, seconds) for name in names or TARGETS], default=0)


def _run(name: str, seconds: int) -> int:
    """Fuzz one parser in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="stint-fuzz-") as found:
        seeds = CORPUS / name
        seeds.mkdir(parents=True, exist_ok=True)
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={SLOW_S}",
            f"-max_len={LONGEST}",
            f"-artifact_prefix={FAILURES}/{name}-",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        done = _one(name, *options, found, str(seeds))
        failed = done.returncode != 0
        runs = next(
            (line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?"
        )
        new = sum(1 for _ in Path(found).iterdir())
        print(
            f"{name:20} {runs:>10} inputs, {new:5} of them reached new code{', FAILED' if failed else ''}",
            flush=True,
        )
        if failed:
            said = (done.stdout + done.stderr).splitlines()
            print(
                "\n".join([line for line in said if not line.startswith(("INFO", "WARNING", "stat::"))][-40:])
            )
        elif os.environ.get("KEEP"):
            _keep(Path(found), seeds)
        return int(failed)


def _keep(found: Path, seeds: Path) -> None:
    """Keep the shortest of what reached new code, beside what people wrote."""
    for file in seeds.glob("kept-*"):
        file.unlink()
    short = sorted(
        (file for file in found.iterdir() if file.stat().st_size <= KEPT_BYTES),
        key=lambda one: one.stat().st_size,
    )
    # Every so many, so that not only the trivial ones are kept.
    for file in short[:: max(1, len(short) // KEPT)][:KEPT]:
        shutil.copy(file, seeds / f"kept-{file.name[:12]}")


def _one(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--one", name, *options],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _fuzz(name: str, options: list[str]) -> int:
    """Become the fuzzer of one parser. The modules of Stint are instrumented as they are imported."""
    import atheris

    with atheris.instrument_imports(include=["sessions_app", "broker.audit.offline", "yaml", "joserfc"]):
        _set_up()
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    atheris.Setup([sys.argv[0], *options], targets[name])
    atheris.Fuzz()
    return 0


def _set_up() -> None:
    """Give the settings what they want. Nothing connects to anything."""
    for setting in (
        "DATABASE_URL=postgresql:///unused",
        "REDIS_URL=redis://unused",
        "STINT_SECRET_KEY=unused",
    ):
        os.environ.setdefault(*setting.split("=", 1))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")
    importlib.import_module("django").setup()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
