"""Each promise in the evidence guide is shown by tests that run in `make test`, not only by slow ones."""

import re

import pytest

from tests.environment import ROOT
from tests.tiers import group_of_tests

GUIDE = (ROOT / "templates/docs/evidence.md").read_text(encoding="utf-8")
_, _, SECTION = GUIDE.partition("## What is promised\n")
ROWS = [
    line.strip("|").split(" | ")
    for line in SECTION.partition("\n## ")[0].splitlines()
    if line.startswith("| ")
]
PROMISES = {row[0].strip(): re.findall(r"`(tests/[^`]+)`", row[1]) for row in ROWS[1:]}


def test_the_readme_promises_nothing_else():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What is promised")[2]
    promised = re.findall(r"^- \*\*(.+?)\.?\*\*", readme, re.MULTILINE)
    assert promised
    for one in promised:
        assert any(row.startswith(one.partition(",")[0]) for row in PROMISES), (
            f"{one} is not in the guide to evidence"
        )


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_shown_by_tests_that_run_in_make_test(request, promise):
    groups = request.config.stash[group_of_tests]
    collected = {test.partition("::")[0] for test in groups}
    assert PROMISES[promise]
    for path in PROMISES[promise]:
        files = {
            file.relative_to(ROOT).as_posix()
            for file in ((ROOT / path).rglob("test_*.py") if path.endswith("/") else [ROOT / path])
        }
        assert files
        # Some are missing if only some tests were selected.
        of_path = {group for test, group in groups.items() if test.startswith(path)}
        assert not files <= collected or of_path & {"quick", "smoke"}, f"{path} runs only in make test-all"
