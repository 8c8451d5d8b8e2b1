"""A request target is read in one way, or not at all."""

import pytest

from sessions_app.policy.commands.http.targets import TargetRefused, read_target


def test_a_value_of_the_query_is_read_as_servers_decode_it():
    asked = read_target("/find?of=caf%C3%A9&plain=x&empty=")
    assert (asked.path, dict(asked.query)) == ("/find", {"of": "café", "plain": "x", "empty": ""})


@pytest.mark.parametrize("query", ["of=%C3", "of=%00", "of=%c3%a9", "of=%4", "of=a&of=b"])
def test_a_query_that_servers_may_read_differently_is_refused(query):
    with pytest.raises(TargetRefused):
        read_target(f"/find?{query}")
