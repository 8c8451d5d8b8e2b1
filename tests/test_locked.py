"""The lists of packages match the installed versions."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ROOT / ".requirements" / "locked"
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
