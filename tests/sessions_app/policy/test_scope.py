"""The digest that approvals are bound to, and making a request smaller."""

import datetime as dt
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.scope import CannotWiden, Extent, Scope, TargetFacts

TARGET = TargetFacts(
    id=1, name="web-1", address="10.0.0.1", port=22, account="root", host_key="ssh-ed25519 AAAA"
)
SCOPE = Scope(
    requester="alice",
    kind="planned",
    cluster="web",
    host_ca="",
    command_set="restart-web",
    command_set_version=3,
    command_set_digest="c" * 64,
    parameters={"unit": "nginx"},
    targets=(TARGET,),
    starts_at=dt.datetime(2026, 10, 25, 1, tzinfo=dt.UTC),
    duration=3600,
    extends=None,
)
OTHER = {
    "requester": "mallory",
    "kind": "break_glass",
    "cluster": "db",
    "host_ca": "ssh-ed25519 BBBB",
    "command_set": "restart-db",
    "command_set_version": 4,
    "command_set_digest": "d" * 64,
    "parameters": {"unit": "haproxy"},
    "targets": (),
    "starts_at": None,
    "duration": 3601,
    "extends": "GR-7F3K",
    "parent": "GR-7F3K",
    "workflow": "INC-101",
    "connection": {"user": "stint"},
    "workflow_facts": {"ends_at": "later"},
    "terms": {"heartbeat": 60},
}
OTHER_TARGET = {"id": 2, "name": "web-2", "address": "10.0.0.2", "port": 23, "account": "app", "host_key": ""}
EXTENT = Extent(3600, frozenset({0, 1, 2}), frozenset({10, 11}))


@pytest.mark.parametrize("name", [field.name for field in fields(Scope)])
def test_a_change_of_any_part_of_the_scope_gives_another_digest(name):
    assert replace(SCOPE, **{name: OTHER[name]}).digest() != SCOPE.digest()


@pytest.mark.parametrize("name", [field.name for field in fields(TargetFacts)])
def test_a_change_of_anything_about_a_target_gives_another_digest(name):
    changed = replace(TARGET, **{name: OTHER_TARGET[name]})
    assert replace(SCOPE, targets=(changed,)).digest() != SCOPE.digest()


def test_parts_can_not_be_moved_into_each_other():
    one = replace(SCOPE, cluster="web", host_ca="x")
    other = replace(SCOPE, cluster="webx", host_ca="")
    assert one.digest() != other.digest()
    assert (
        replace(SCOPE, parameters={"a": "b", "c": "d"}).digest()
        != replace(SCOPE, parameters={"a": "bcd"}).digest()
    )


def test_order_and_time_zone_that_mean_nothing_change_nothing():
    second = TargetFacts(**OTHER_TARGET)
    assert (
        replace(SCOPE, targets=(TARGET, second)).digest() == replace(SCOPE, targets=(second, TARGET)).digest()
    )
    berlin = dt.timezone(dt.timedelta(hours=2))
    assert replace(SCOPE, starts_at=SCOPE.starts_at.astimezone(berlin)).digest() == SCOPE.digest()


def test_a_microsecond_is_a_change():
    later = SCOPE.starts_at + dt.timedelta(microseconds=1)
    assert replace(SCOPE, starts_at=later).digest() != SCOPE.digest()


NARROWINGS = st.fixed_dictionaries(
    {},
    optional={
        "duration": st.one_of(st.none(), st.integers(-10, 8000)),
        "commands": st.one_of(st.none(), st.lists(st.integers(-1, 5), max_size=4)),
        "targets": st.one_of(st.none(), st.lists(st.integers(8, 13), max_size=4)),
    },
)


@given(NARROWINGS)
def test_narrowing_never_widens_and_never_leaves_nothing(narrowing):
    try:
        left = EXTENT.narrowed(narrowing)
    except CannotWiden:
        return
    assert 0 < left.duration <= EXTENT.duration
    assert left.commands
    assert left.commands <= EXTENT.commands
    assert left.targets
    assert left.targets <= EXTENT.targets


@given(st.lists(NARROWINGS, max_size=4))
def test_what_all_agree_on_is_in_what_each_left(narrowings):
    try:
        parts = [EXTENT.narrowed(narrowing) for narrowing in narrowings]
        met = EXTENT.meet(parts)
    except CannotWiden:
        return
    for part in [*parts, EXTENT]:
        assert met.duration <= part.duration
        assert met.commands <= part.commands
        assert met.targets <= part.targets
    assert met.commands
    assert met.targets


def test_approvers_who_have_nothing_in_common_leave_nothing():
    parts = [EXTENT.narrowed({"commands": [0]}), EXTENT.narrowed({"commands": [1]})]
    with pytest.raises(CannotWiden, match="in common"):
        EXTENT.meet(parts)


@pytest.mark.parametrize(
    "narrowing",
    [
        {"duration": 0},
        {"duration": -1},
        {"duration": 3601},
        {"duration": "30m"},
        {"duration": 1800.5},
        {"duration": True},
        {"commands": []},
        {"commands": [3]},
        {"commands": [0, 3]},
        {"commands": 0},
        {"commands": "01"},
        {"commands": ["0"]},
        {"commands": [True]},
        {"commands": {"0": 1}},
        {"targets": []},
        {"targets": [12]},
        {"targets": [[10]]},
        {"targets": [10.0]},
        {"parameters": {"unit": "haproxy"}},
        {"until": "tomorrow"},
        {"starts_at": None},
    ],
)
def test_a_narrowing_that_widens_or_says_something_else_is_refused(narrowing):
    with pytest.raises(CannotWiden):
        EXTENT.narrowed(narrowing)


def test_no_narrowing_leaves_everything():
    assert EXTENT.narrowed({}) == EXTENT
    assert EXTENT.narrowed({"duration": None, "commands": None, "targets": None}) == EXTENT
    assert EXTENT.narrowed({"duration": 60, "commands": [1], "targets": [10]}) == Extent(
        60, frozenset({1}), frozenset({10})
    )
