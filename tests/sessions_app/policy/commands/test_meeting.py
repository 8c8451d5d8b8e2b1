"""Whether some text matches two patterns: never denied where one does, and seen where none can."""

from fnmatch import fnmatchcase
from itertools import product

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.meeting import can_meet, of_glob

TEXTS = ["".join(letters) for length in range(5) for letters in product("ab.", repeat=length)]
PARTS = st.sampled_from(["a", "b", ".", r"\.", "[ab]", "[^a]", "", "é", r"\w", "[[:alpha:]]"])
COUNTS = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{0}", "{1,40}", "+?"])
PATTERNS = st.recursive(
    PARTS,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({}){}".format, inner, COUNTS),
    ),
    max_leaves=6,
    # RE2 refuses a pattern that repeats something more than a thousand times.
).filter(lambda pattern: pattern.count("40}") < 2)
NAME = "[A-Za-z0-9_][A-Za-z0-9._-]{0,39}"


@given(one=PATTERNS, other=PATTERNS)
def test_two_patterns_that_match_one_text_meet(one: str, other: str) -> None:
    if any(re2.fullmatch(one, text) and re2.fullmatch(other, text) for text in TEXTS):
        assert can_meet(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "b"),
        ("a{3}", "a{4}"),
        ("(ab){2,3}", "abababab"),
        ("x+y", "y"),
        (NAME, ".*=.*"),
        ("web-[0-9]+", r".*\.mount"),
        ("[[:digit:]]+", ".*a"),
        (r"\d+", "x5"),
        ("[a-z]+", "[A-Z]+"),
        ("[^a]", "a"),
        ("(a?b){2}", "aab"),
        ("a{0}", "a"),
        (r"v[0-9.]+", "w.*"),
        ("[a-z]{1,40}", ".*-.*"),
    ],
)
def test_patterns_without_a_common_text_do_not_meet(one: str, other: str) -> None:
    assert not can_meet(one, other)


@pytest.mark.parametrize(
    "pattern",
    ["(?i)a", r"\pL", r"(?:\Qa)", r"\x41", "(?:a|(?s:b))", "(a{200}){5}" * 20, "(" * 60 + "a" + ")" * 60],
)
def test_what_is_not_read_can_be_anything(pattern: str) -> None:
    assert can_meet(pattern, "!")


@given(glob=st.text("ab*?[]!^.", max_size=6), text=st.text("ab.]", max_size=4))
def test_a_glob_becomes_a_pattern_of_the_same_texts(glob: str, text: str) -> None:
    assert bool(re2.fullmatch(of_glob(glob), text)) == fnmatchcase(text, glob)
