"""When access begins and ends."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.starts import begins_at, ends_at

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
MOMENTS = st.none() | st.integers(-48, 48).map(lambda hours: NOW + dt.timedelta(hours=hours))


def test_without_a_start_or_work_it_begins_at_once():
    assert begins_at(NOW) == NOW


@given(MOMENTS, MOMENTS)
def test_it_never_begins_in_the_past_or_before_what_was_asked_for_or_the_work(asked, workflow):
    begins = begins_at(NOW, asked=asked, workflow=workflow)
    assert all(begins >= moment for moment in (NOW, asked, workflow) if moment)
    assert begins in (NOW, asked, workflow)


@given(MOMENTS, st.integers(1, 10**6))
def test_it_never_outlasts_what_was_asked_for_or_the_work(workflow, seconds):
    end = ends_at(NOW, seconds, workflow=workflow)
    assert end == min(moment for moment in (NOW + dt.timedelta(seconds=seconds), workflow) if moment)
