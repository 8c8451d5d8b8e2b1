"""Each rule alone: what it permits, what it denies, and what it offers instead."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy import rules
from sessions_app.policy.decision import Deny, Permit
from sessions_app.policy.policies import BreakGlass, Clause, Incident
from sessions_app.policy.windows import Freeze, Window

NOW = dt.datetime(2026, 10, 20, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
ASK = rules.Ask(
    requester="alice",
    requester_groups=frozenset({"operators", "on-call"}),
    cluster="web",
    command_set="restart-web",
    target_count=2,
    duration=3600,
    starts_at=None,
    reason="Nightly restart",
    ticket="OPS-1",
)
TWO = (frozenset({"approvers"}), frozenset({"approvers", "leads"}))
FACTS = rules.Facts(
    now=NOW,
    requester_enabled=True,
    may_request=True,
    policy_live=True,
    cluster_live=True,
    command_set_published=True,
    targets_live=True,
    sweeper_silence=0.5,
    overdue_reviews=(),
    approvers=TWO,
    kinds_fit=True,
    is_known=True,
)
NOON = Window.model_validate({"days": ["tue"], "from": "12:00", "to": "14:00", "zone": "UTC"})
FREEZE = Freeze.model_validate({"from": NOW + 2 * HOUR, "to": NOW + 4 * HOUR, "reason": "Sale"})
GLASS = BreakGlass.model_validate({"groups": ["on-call"], "max_duration": "1h"})
RESPONSE = Incident.model_validate({"on_call": ["on-call"]})
COVERS = rules.Covers("web-work", ("web",), ("restart-web",))

P1 = rules.WorkflowFacts(kind="incident", source="stint", severity="P1")

CASES = [
    (rules.RequesterEnabled(), {}, {"requester_enabled": False}),
    (rules.MayRequest("web-work"), {}, {"may_request": False}),
    (COVERS, {}, {"policy_live": False}),
    (COVERS, {}, {"cluster_live": False}),
    (COVERS, {}, {"command_set_published": False}),
    (COVERS, {"cluster": "db"}, {}),
    (COVERS, {"command_set": "restart-db"}, {}),
    (rules.HasTargets(), {"target_count": 0}, {}),
    (rules.HasTargets(), {}, {"targets_live": False}),
    (rules.KindsFit(), {}, {"kinds_fit": False}),
    (rules.MaxDuration("web-work", 3600), {"duration": 3601}, {}),
    (rules.MaxDuration("web-work", 3600), {"duration": 0}, {}),
    (rules.MaxDuration("web-work", 3600), {"duration": -3600}, {}),
    (rules.Start(3600), {"starts_at": NOW - 2 * HOUR}, {}),
    (rules.Start(3600), {"starts_at": NOW + HOUR + dt.timedelta(seconds=1)}, {}),
    (rules.InWindow((NOON,)), {"starts_at": NOW + HOUR, "duration": 3601}, {}),
    (rules.InWindow((NOON,)), {"starts_at": NOW - HOUR}, {}),
    (rules.InWindow((NOON,)), {"duration": 3 * 3600}, {}),
    (rules.NotFrozen((FREEZE,)), {"duration": 2 * 3600 + 1}, {}),
    (rules.NotFrozen((FREEZE,)), {"starts_at": NOW + 3 * HOUR}, {}),
    (rules.Reason(required=True), {"reason": " \n"}, {}),
    (rules.Ticket("OPS-[0-9]+"), {"ticket": ""}, {}),
    (rules.Ticket("OPS-[0-9]+"), {"ticket": "OPS-1; DROP"}, {}),
    (rules.Ticket("OPS-[0-9]+"), {"ticket": "OPS-1\nOPS-2"}, {}),
    (rules.SweeperAlive(), {}, {"sweeper_silence": None}),
    (rules.SweeperAlive(), {}, {"sweeper_silence": 30.001}),
    (rules.EnoughApprovers((Clause(count=2, groups=("approvers",)),)), {}, {"approvers": TWO[:1]}),
    (rules.EnoughApprovers((Clause(count=1, groups=("approvers",)),)), {}, {"approvers": None}),
    (rules.EnoughApprovers((Clause(count=1, groups=("approvers",)),)), {}, {"approvers": ()}),
    (
        rules.EnoughApprovers((Clause(count=2, groups=("approvers",)), Clause(count=1, groups=("leads",)))),
        {},
        {},
    ),
    (rules.MayBreakGlass("web-work", None), {}, {}),
    (rules.MayBreakGlass("web-work", GLASS), {"requester_groups": frozenset({"operators"})}, {}),
    (rules.BreakGlassReviewed(), {"reason": ""}, {}),
    (rules.BreakGlassReviewed(), {}, {"overdue_reviews": ("GR-7F3K",)}),
    (rules.BreakGlassReviewed(), {}, {"overdue_reviews": None}),
    (rules.AtOnce(), {"break_glass": True, "starts_at": NOW + HOUR}, {}),
    (rules.IncidentOpen(), {"incident": ""}, {"workflow_open": True}),
    (rules.IncidentOpen(), {"incident": None}, {"workflow_open": True}),
    (rules.IncidentOpen(), {"incident": "INC-101"}, {"workflow_open": False}),
    (rules.IncidentOpen(), {"incident": "INC-101"}, {"workflow_open": False, "workflow": P1}),
    (rules.IncidentOpen(), {"incident": "INC-101"}, {"workflow_open": True, "workflow": None}),
    (
        rules.IncidentOpen(),
        {"incident": "TKT-3"},
        {"workflow_open": True, "workflow": replace(P1, kind="ticket")},
    ),
    (
        rules.IncidentOpen(),
        {"incident": "CHG-7"},
        {"workflow_open": True, "workflow": replace(P1, kind="change")},
    ),
    (rules.IncidentOnCluster(), {"incident": "INC-101"}, {"workflow_on_cluster": False}),
    (rules.IncidentOnCluster(), {"incident": ""}, {}),
    (rules.OnCall("web-work", None), {}, {}),
    (rules.OnCall("web-work", RESPONSE), {"requester_groups": frozenset({"operators"})}, {}),
    (rules.AtOnce(), {"starts_at": NOW + HOUR}, {}),
]


@pytest.mark.parametrize(("rule", "ask", "facts"), CASES)
def test_the_rule_denies_and_says_what_to_do(rule, ask, facts):
    answer = rule.verify(replace(ASK, **ask), replace(FACTS, **facts))
    assert isinstance(answer, Deny)
    assert answer.message.strip()
    assert answer.fix.strip()


@pytest.mark.parametrize(
    "rule",
    [
        rules.RequesterEnabled(),
        rules.MayRequest("web-work"),
        COVERS,
        rules.HasTargets(),
        rules.MaxDuration("web-work", 3600),
        rules.Start(3600),
        rules.InWindow((NOON,)),
        rules.NotFrozen((FREEZE,)),
        rules.NotFrozen(()),
        rules.Reason(required=True),
        rules.Ticket("OPS-[0-9]+"),
        rules.SweeperAlive(),
        rules.EnoughApprovers((Clause(count=2, groups=("approvers",)),)),
        rules.MayBreakGlass("web-work", GLASS),
        rules.BreakGlassReviewed(),
        rules.IncidentOpen(),
        rules.IncidentOnCluster(),
        rules.OnCall("web-work", RESPONSE),
        rules.AtOnce(),
    ],
)
def test_the_rule_permits_what_fits(rule):
    answer = rule.verify(
        replace(ASK, incident="INC-101"),
        replace(FACTS, workflow_open=True, workflow_on_cluster=True, workflow=P1),
    )
    assert isinstance(answer, Permit), answer
    assert answer.message.strip()


def test_outside_a_window_it_is_said_when_one_is_open_for_long_enough():
    window = rules.InWindow((NOON,))
    later = window.verify(replace(ASK, starts_at=NOW + HOUR, duration=3601), FACTS)
    assert isinstance(later, Deny)
    assert "open now" in later.fix


def test_a_start_a_minute_ago_is_slow_typing_and_not_the_past():
    assert isinstance(
        rules.Start(3600).verify(replace(ASK, starts_at=NOW - dt.timedelta(seconds=59)), FACTS), Permit
    )


def test_the_limit_itself_is_allowed():
    assert isinstance(rules.Start(3600).verify(replace(ASK, starts_at=NOW + HOUR), FACTS), Permit)
    assert isinstance(rules.SweeperAlive().verify(ASK, replace(FACTS, sweeper_silence=30.0)), Permit)
    frozen_after = rules.NotFrozen((FREEZE,)).verify(replace(ASK, duration=7200), FACTS)
    assert isinstance(frozen_after, Permit)


def test_the_next_window_that_is_long_enough_is_offered():
    short = Window.model_validate({"days": ["wed"], "from": "01:00", "to": "01:30", "zone": "UTC"})
    long_ = Window.model_validate({"days": ["thu"], "from": "01:00", "to": "03:00", "zone": "UTC"})
    rule = rules.InWindow((short, long_))
    answer = rule.verify(ASK, FACTS)
    assert answer.offer == {"starts_at": "2026-10-22T01:00:00+00:00"}
    offered = dt.datetime.fromisoformat(answer.offer["starts_at"])
    assert isinstance(rule.verify(replace(ASK, starts_at=offered), FACTS), Permit)


def test_a_window_that_is_never_long_enough_is_told_as_that_and_the_longest_is_offered():
    rule = rules.InWindow((NOON,))
    answer = rule.verify(replace(ASK, duration=3 * 3600), FACTS)
    assert "long enough" in answer.message
    assert isinstance(rule.verify(replace(ASK, duration=answer.offer["duration"]), FACTS), Permit)


def test_a_window_that_is_open_now_is_offered_at_once():
    answer = rules.InWindow((NOON,)).verify(replace(ASK, duration=60, starts_at=NOW + 3 * HOUR), FACTS)
    assert answer.offer == {"starts_at": None}


def test_where_no_window_is_coming_there_is_nothing_to_offer():
    answer = rules.InWindow(()).verify(ASK, FACTS)
    assert isinstance(answer, Deny)
    assert answer.offer == {}


def test_the_end_of_a_freeze_is_offered_and_works():
    rule = rules.NotFrozen((FREEZE,))
    offer = rule.verify(replace(ASK, starts_at=NOW + 3 * HOUR), FACTS).offer
    offered = dt.datetime.fromisoformat(offer["starts_at"])
    assert isinstance(rule.verify(replace(ASK, starts_at=offered), FACTS), Permit)


def test_the_offered_duration_is_permitted():
    rule = rules.MaxDuration("web-work", 3600)
    offer = rule.verify(replace(ASK, duration=9999), FACTS).offer
    assert isinstance(rule.verify(replace(ASK, **offer), FACTS), Permit)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6))
def test_no_time_over_the_limit_is_ever_permitted(duration, limit):
    answer = rules.MaxDuration("web-work", limit).verify(replace(ASK, duration=duration), FACTS)
    assert isinstance(answer, Permit) == (0 < duration <= limit)


def test_what_is_not_known_of_an_incident_is_that_it_is_not_there():
    ask = replace(ASK, incident="INC-101")
    assert isinstance(rules.IncidentOpen().verify(ask, FACTS), Deny)
    assert isinstance(rules.IncidentOnCluster().verify(ask, FACTS), Deny)


CHANGE = rules.WorkflowFacts(kind="change", source="stint", starts_at=NOW + 3 * HOUR, ends_at=NOW + 6 * HOUR)
FOR_CHANGE = replace(ASK, workflow="CHG-7")
IN_CHANGE = replace(FACTS, workflow_open=True, workflow_on_cluster=True, workflow=CHANGE)


def test_without_a_start_it_is_the_time_of_the_work_that_windows_freezes_and_the_horizon_look_at():
    during = Freeze.model_validate({"from": NOW + 3 * HOUR, "to": NOW + 4 * HOUR, "reason": "Sale"})
    later = Window.model_validate({"days": ["tue"], "from": "15:00", "to": "18:00", "zone": "UTC"})
    assert isinstance(rules.NotFrozen((during,)).verify(FOR_CHANGE, IN_CHANGE), Deny)
    assert isinstance(rules.InWindow((NOON,)).verify(FOR_CHANGE, IN_CHANGE), Deny)
    assert isinstance(rules.InWindow((later,)).verify(FOR_CHANGE, IN_CHANGE), Permit)
    assert isinstance(rules.Start(2 * 3600).verify(FOR_CHANGE, IN_CHANGE), Deny)
    assert rules.Start(4 * 3600).verify(FOR_CHANGE, IN_CHANGE) == Permit("Starts with CHG-7.")


def test_who_is_on_call_reads_that_a_ticket_is_no_incident_and_how_to_ask_for_it():
    ticket = replace(FACTS, workflow_open=True, workflow_on_cluster=True, workflow=replace(P1, kind="ticket"))
    answer = rules.IncidentOpen().verify(replace(ASK, incident="TKT-3"), ticket)
    assert isinstance(answer, Deny)
    assert "TKT-3 is a ticket" in answer.message
    assert "planned access" in answer.fix


def test_leaving_the_start_out_is_offered_for_an_incident_and_works():
    offer = rules.AtOnce().verify(replace(ASK, starts_at=NOW + HOUR), FACTS).offer
    assert isinstance(rules.AtOnce().verify(replace(ASK, **offer), FACTS), Permit)


def test_empty_lists_cover_nothing():
    assert isinstance(rules.Covers("web-work", (), ()).verify(ASK, FACTS), Deny)
    assert isinstance(rules.InWindow(()).verify(ASK, FACTS), Deny)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("OPS-[0-9]+", "OPS-123"),
        ("(CHG|INC)-[0-9]+", "CHG-123"),
        (r"CHG-\d{6}", "CHG-123456"),
        ("[A-Z]{3}-[0-9]+", "ABC-123"),
    ],
)
def test_a_missing_ticket_is_asked_for_by_one_that_would_do(pattern, said):
    answer = rules.Ticket(pattern).verify(replace(ASK, ticket=""), FACTS)
    assert answer == Deny("A ticket is required.", f"Enter a ticket like {said}.")
