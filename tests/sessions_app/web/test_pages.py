"""The tests of access try every page: one that they don't list fails here, at once."""

from tests.sessions_app.web.pages import ACTS, OPEN, READABLE, page_names


def test_every_page_is_listed_with_who_may_see_it():
    assert page_names() == {*READABLE, *ACTS, *OPEN}
