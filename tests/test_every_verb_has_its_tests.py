"""One verb, one file, one file of tests of the same name."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = sorted(
    path.parent.relative_to(ROOT)
    for path in ROOT.glob("*/operations/**/__init__.py")
    if list(path.parent.glob("[!_]*.py"))
)
NO_VERBS = {"__init__", "errors"}


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_each_has_its_file_of_tests(room):
    verbs = {path.stem for path in (ROOT / room).glob("*.py")} - NO_VERBS
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / room).glob("test_*.py")}
    assert verbs
    assert verbs <= tested, f"write tests/{room}/test_<verb>.py for each of {sorted(verbs - tested)}"
