"""The lists of packages match the installed versions."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ROOT / ".requirements" / "locked"
# Imported only if it is installed: traces.
OPTIONAL = {"opentelemetry"}
PIN = re.compile(r"^([\w.-]+)(?:\[\w+\])?==([\w.!+]+)", re.MULTILINE)
LISTS = {path.stem: path for path in (ROOT / ".requirements").glob("*.txt") if (LOCKED / path.name).exists()}


def pins(path: Path) -> dict[str, str]:
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PIN.findall(path.read_text())}


def named(path: Path) -> dict[str, str]:
    """Return the pins of a list and of the lists that it includes."""
    found = pins(path)
    for included in re.findall(r"^-r (\S+)", path.read_text(), re.MULTILINE):
        found |= named(path.parent / included)
    return found


@pytest.mark.parametrize(("group", "path"), [("run", ROOT / "requirements.txt"), *LISTS.items()])
def test_each_package_is_locked_in_the_version_that_its_list_names(group, path):
    locked = pins(LOCKED / f"{group}.txt")
    assert {name: locked.get(name) for name in named(path)} == named(path), "run `make lock`"


def test_every_package_of_a_lock_has_its_hashes():
    for path in LOCKED.glob("*.txt"):
        packages = re.split(r"^(?=\w)", path.read_text(), flags=re.MULTILINE)[1:]
        assert packages
        assert [one for one in packages if "--hash=sha256:" not in one] == []


def imported() -> Iterator[str]:
    """Yield the packages that Stint's own code imports, by the names of their distributions."""
    distributions = packages_distributions()
    for path in (
        one for folder in ("accounts", "broker", "sessions_app") for one in (ROOT / folder).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for top in {name.partition(".")[0] for name in names} - OPTIONAL:
                if top not in sys.stdlib_module_names and top not in ("accounts", "broker", "sessions_app"):
                    yield re.sub(r"[-_.]+", "-", distributions[top][0]).lower()


def test_what_runs_imports_only_packages_that_an_installation_has():
    assert set(imported()) - set(pins(LOCKED / "run.txt")) == set()
