"""The document of a policy: what it may say, and that nothing left empty means everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sessions_app.policy.digests import canonical, digest_of
from sessions_app.policy.policies import PolicyDocument

POLICY = {
    "name": "web-work",
    "clusters": ["web"],
    "command_sets": ["restart-web"],
    "requesters": {"groups": ["operators"]},
    "approvals": [{"count": 1, "from": ["approvers", "leads"]}, {"count": 2, "from": ["leads", "dba"]}],
    "max_duration": "4h",
}


def document(**changes) -> PolicyDocument:
    return PolicyDocument.model_validate({**POLICY, **changes})


@pytest.mark.parametrize("missing", sorted(POLICY))
def test_every_part_that_decides_must_be_written_down(missing):
    with pytest.raises(ValidationError):
        PolicyDocument.model_validate({key: value for key, value in POLICY.items() if key != missing})


@pytest.mark.parametrize(
    "change",
    [
        {"clusters": []},
        {"command_sets": []},
        {"requesters": {}},
        {"requesters": {"groups": []}},
        {"requesters": None},
        {"viewers": {}},
        {"approvals": []},
        {"approvals": None},
        {"approvals": "any"},
        {"approvals": [{"count": 0, "from": ["approvers"]}]},
        {"approvals": [{"count": 1, "from": []}]},
        {"approvals": [{"count": -1, "from": ["approvers"]}]},
        {"approvals": [{"from": ["approvers"]}]},
        {"windows": []},
        {"max_duration": 0},
        {"max_duration": "forever"},
        {"max_duration": None},
        {"extension": {}},
        {"extension": {"times": 0, "by": "1h"}},
        {"extension": {"times": 1, "by": "1h", "approvals": "no"}},
        {"incident": {}},
        {"incident": {"on_call": []}},
        {"incident": {"on_call": ["on-call"], "max_duration": "1h", "approvals": "two"}},
        {"incident": {"on_call": ["on-call"], "approvals": "same"}, "approvals": "none"},
        {"break_glass": {}},
        {"break_glass": {"groups": [], "max_duration": "1h"}},
        {"ticket": "("},
        {"ticket": "(?=x)"},
        {"reason": "maybe"},
        {"name": "../etc"},
        {"name": "Web"},
        {"clusters": ["*"]},
        {"allow_everything": True},
    ],
)
def test_empty_unknown_and_odd_values_are_refused(change):
    with pytest.raises(ValidationError):
        document(**change)


def test_no_approvals_must_be_said_in_so_many_words():
    assert document(approvals="none").clauses == ()
    assert document(approvals="none").approver_groups == ()


def test_each_group_of_approvers_is_named_once():
    assert document().approver_groups == ("approvers", "leads", "dba")


def test_a_document_that_is_stored_is_read_back_as_the_same():
    full = document(
        windows=[{"days": ["mon"], "from": "22:00", "to": "02:00", "zone": "Europe/Berlin"}],
        freezes=[
            {"from": "2026-12-20T00:00:00+01:00", "to": "2026-12-27T00:00:00+01:00", "reason": "Christmas"}
        ],
        extension={"times": 2, "by": "1h30m"},
        break_glass={"groups": ["on-call"], "max_duration": "1h"},
        ticket="OPS-[0-9]+",
    )
    stored = full.model_dump(mode="json", by_alias=True)
    assert PolicyDocument.model_validate(stored) == full
    assert stored["extension"]["by"] == "1h30m"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_two_values_have_one_digest_only_if_they_are_the_same(one, other):
    surrogate_free = canonical([one, other]).encode("utf-8", "replace").decode()
    if surrogate_free == canonical([one, other]):
        assert (digest_of(one) == digest_of(other)) == (canonical(one) == canonical(other))


def test_the_order_of_keys_changes_no_digest():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
