"""Patterns said by an example."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.samples import sample_of


@pytest.mark.parametrize(
    ("pattern", "sample"),
    [
        ("CHG-[0-9]+", "CHG-123"),
        ("(CHG|INC)-[0-9]+", "CHG-123"),
        (r"^CHG-\d{4,6}$", "CHG-1234"),
        ("[A-Z]{2,5}-[0-9]{1,6}", "ABC-123"),
        (r"[\w.-]+@example\.com", "abc@example.com"),
        ("(?P<x>ab){2}", "abab"),
        ("[^/]+", "abc"),
        (".*", "abc"),
        ("(?:a|b)+c?", "aaac"),
        (r"\(x\)", "(x)"),
        ("[a-z][a-z0-9-]{0,62}", "aabc"),
    ],
)
def test_a_pattern_is_said_by_a_text_that_it_takes(pattern, sample):
    assert sample_of(pattern) == sample


@pytest.mark.parametrize("pattern", ["", "(", "[", "a{", "\\", "(?", "(?i)chg-[0-9]+", "a|", r"\pL+"])
def test_where_none_is_found_there_is_none_and_nothing_breaks(pattern):
    found = sample_of(pattern)
    assert found is None or re2.fullmatch(pattern, found)


@given(st.text("ab[]()|?*+{}0-9,.\\d^$<>:P", max_size=20))
def test_whatever_is_found_is_taken_by_the_pattern(pattern):
    try:
        found = sample_of(pattern)
    except re2.error:
        return
    assert found is None or re2.fullmatch(pattern, found)
