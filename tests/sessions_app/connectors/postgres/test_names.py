"""Names and comments: what is Stint's is known again, and nothing else is taken for it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.connectors.postgres.names import PATTERN, Comment, mark_of, read_comment, role_names
from sessions_app.connectors.postgres.setup import target_setup

MARK = "0123456789abcdef" * 2


def test_a_name_leads_back_to_its_mark():
    names = role_names(MARK)
    assert mark_of(names.login) == mark_of(names.rights) == MARK
    assert all(re.search(PATTERN, name) and len(name) <= 63 for name in names.both)


@pytest.mark.parametrize(
    "name",
    [
        "stint_broker",
        "stint_kept",
        f"stint_{MARK[:-1]}",
        f"stint_{MARK.upper()}",
        f"xstint_{MARK}",
        f"stint_{MARK}_maybe",
        "",
    ],
)
def test_other_names_are_not_its_own(name):
    assert mark_of(name) is None
    assert not re.search(PATTERN, name)


COMMENT = Comment(
    grant="GR-1",
    mark=MARK,
    until="2026-11-25T16:00:00.000000+00:00",
    connections=5,
    roles=("a", "b"),
    acls=3,
    slots=("s",),
)


def test_a_comment_is_read_back():
    assert read_comment(COMMENT.text()) == COMMENT


@given(st.one_of(st.none(), st.text(), st.dictionaries(st.text(), st.integers()).map(str)))
def test_what_somebody_else_wrote_is_no_comment_of_its_own(text):
    assert read_comment(text) is None


@pytest.mark.parametrize(
    "change",
    [('"stint": 1', '"stint": 2'), ("2026-11-25", "soon"), ('"grant"', '"grunt"'), ('["a", "b"]', "7")],
)
def test_a_comment_that_was_changed_into_nonsense_is_none(change):
    assert read_comment(COMMENT.text().replace(*change)) is None


def test_a_set_up_for_a_name_that_could_break_out_is_refused():
    for name in ("a$stint$b", "a\nb"):
        with pytest.raises(ValueError, match="is not a valid role name"):
            target_setup(broker=name)
    assert 'CREATE ROLE "a""b" LOGIN' in target_setup(broker='a"b')
