"""Words that texts for people must not have."""

import pytest

from tests.words import found_in


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Somebody opens the door.", ["Somebody", "door"]),
        ("The approver opens `door.py` for a moment.", []),
        ("`kubectl rollout undo` stands for an old version", []),
        ("It tells nobody.", ["tells"]),
    ],
)
def test_a_banned_word_is_found_outside_of_code(text, words):
    assert [word for _, word, _ in found_in(text)] == words
