"""References, and what people type for them."""

import re

import pytest

from broker.cli import served
from sessions_app.connectors.kubernetes import plugin
from sessions_app.models import Grant
from sessions_app.policy import references
from sessions_app.workflows.base import LONGEST_ID


@pytest.mark.parametrize(
    ("typed", "ref"),
    [
        ("gr7f3k", "GR-7F3K"),
        ("REQ0012", "REQ-12"),
        ("inc-0101", "INC-101"),
        ("pagerduty:Q1ABC", "pagerduty:Q1ABC"),
        ("nginx", "nginx"),
    ],
)
def test_what_people_type_is_spelled_as_stint_spells_it(typed, ref):
    assert references.spelled(typed) == ref


def test_programs_that_are_installed_alone_accept_the_same_references():
    assert (served.GRANT, served.REQUEST, plugin._REF.pattern) == (
        references.GRANT,
        references.REQUEST,
        references.GRANT,
    )
    assert served._NAME.pattern == references.NAME


def test_the_longest_references_match():
    longest = "GR-" + "Z" * (Grant._meta.get_field("ref").max_length - len("GR-"))
    assert re.fullmatch(references.GRANT, longest)
    assert re.fullmatch(references.WORKFLOW, f"{'s' * 63}:{'1' * LONGEST_ID}~999")


@pytest.mark.parametrize("ref", ["REQ-", "REQ-1234567890", "req-1", "REQ-1\n", "GR-7F3K"])
def test_only_the_reference_of_a_request_has_a_number(ref):
    assert references.request_number(ref) == 0
    assert references.request_number(references.request_ref(1042)) == 1042
