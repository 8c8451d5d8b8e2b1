"""Each row of the threat model is complete, and the tests that it names exist."""

import re

import pytest

from tests.environment import ROOT

MODEL = (ROOT / "THREAT_MODEL.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in MODEL.splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_rows_are_numbered_in_order():
    assert [row[0] for row in ROWS] == [str(number) for number in range(1, len(ROWS) + 1)]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_says_asset_attacker_defense_and_what_is_left_and_names_tests_that_exist(row):
    assert len(row) == 6
    assert all(row)
    tests = re.findall(r"\[([^]]+)\]\(([^)]+)\)", row[4])
    assert tests
    for words, path in tests:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert f"def test_{words.replace(' ', '_')}(" in source, f"{path} has no such test: {words}"
