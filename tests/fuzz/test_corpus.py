"""What fuzzing has found to reach the most code is refused or read, by each parser, as it says."""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_reads_or_refuses_everything_that_fuzzing_kept(name):
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    for file in kept:
        TARGETS[name](file.read_bytes())
