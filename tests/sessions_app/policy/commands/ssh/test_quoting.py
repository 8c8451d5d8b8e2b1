"""Quoting for bash, dash, zsh and fish at once."""

import pytest

from sessions_app.policy.commands.argv.lines import parse_line
from sessions_app.policy.commands.argv.quoting import QuoteRefused, quote, quote_argv, readable


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("", "''"),
        ("a", "'a'"),
        ("a b", "'a b'"),
        ("it's", "'it'\\''s'"),
        ("a\\b", "'a'\\\\'b'"),
        ("'", "\\'"),
        ("\\'", "\\\\\\'"),
        ("=ls", "'=ls'"),
    ],
)
def test_every_word_is_quoted_and_quotes_and_backslashes_stand_outside(word, quoted):
    assert quote(word) == quoted
    assert parse_line("x " + quoted) == ("x", word)


@pytest.mark.parametrize("char", ["\0", "\r", "\n"])
def test_a_word_with_nul_or_a_line_end_is_never_quoted(char):
    with pytest.raises(QuoteRefused):
        quote_argv(["ls", f"a{char}b"])


def test_people_see_quotes_only_where_they_are_needed():
    assert readable(["ls", "-l", "a b", "--x=y", "=x", ""]) == "ls -l 'a b' --x=y '=x' ''"
