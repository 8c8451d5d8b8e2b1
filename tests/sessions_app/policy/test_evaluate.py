"""One evaluation: which rules are asked, and what their answers come to."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.case import Case
from sessions_app.policy.decision import Decision, Outcome
from sessions_app.policy.evaluate import evaluate as judge
from sessions_app.policy.evaluate import rules_of
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.rules import Ask, Doing, Facts, Whose, WorkflowFacts
from sessions_app.policy.steps import Step

NOW = dt.datetime(2026, 10, 20, 12, tzinfo=dt.UTC)
POLICY = {
    "name": "web-work",
    "clusters": ["web"],
    "command_sets": ["restart-web"],
    "requesters": {"groups": ["operators"]},
    "approvals": [{"count": 1, "from": ["approvers"]}],
    "max_duration": "4h",
    "break_glass": {"groups": ["on-call"], "max_duration": "1h"},
    "incident": {"on_call": ["on-call"], "max_duration": "2h"},
    "windows": [{"days": ["tue"], "from": "00:00", "to": "00:00", "zone": "UTC"}],
    "ticket": "OPS-[0-9]+",
    "freezes": [{"from": "2026-12-20T00:00:00Z", "to": "2026-12-27T00:00:00Z", "reason": "Christmas"}],
}
ASK = Ask(
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
TWO = (frozenset({"approvers"}), frozenset({"approvers"}))
FACTS = Facts(
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
REFUSING = {
    "requester_enabled": False,
    "may_request": False,
    "policy_live": False,
    "cluster_live": False,
    "command_set_published": False,
    "targets_live": False,
    "kinds_fit": False,
    "sweeper_silence": None,
    "approvers": (),
}


def document(**changes) -> PolicyDocument:
    return PolicyDocument.model_validate({**POLICY, **changes})


def case(*, ask: Ask = ASK, facts: Facts = FACTS, policy: PolicyDocument | None = None) -> Case:
    return Case(ask=ask, facts=facts, policy=policy or document())


def evaluate(**parts) -> Decision:
    return judge(case(**parts), Step.REQUEST)


def test_what_every_rule_permits_needs_the_approvals_of_the_policy():
    decision = evaluate(ask=ASK, facts=FACTS, policy=document())
    assert decision.outcome is Outcome.NEEDS_APPROVAL
    assert [clause.groups for clause in decision.clauses] == [("approvers",)]
    assert decision.refusals == ()


def test_without_approvals_it_starts():
    facts = replace(FACTS, approvers=())
    assert evaluate(ask=ASK, facts=facts, policy=document(approvals="none")).outcome is Outcome.STARTS


@given(st.sets(st.sampled_from(sorted(REFUSING))))
def test_one_refusing_fact_refuses_and_every_answer_is_shown(names):
    facts = replace(FACTS, **{name: REFUSING[name] for name in names})
    decision = evaluate(ask=ASK, facts=facts, policy=document())
    assert (decision.outcome is Outcome.REFUSED) == bool(names)
    assert len(decision.results) == len(rules_of(case(), Step.REQUEST))
    assert len({result.rule for result in decision.results}) == len(decision.results)


@given(st.sets(st.sampled_from(sorted(set(REFUSING) - {"approvers"}))))
def test_broken_glass_passes_over_approvals_and_over_no_fact(names):
    facts = replace(FACTS, approvers=(), **{name: REFUSING[name] for name in names})
    decision = evaluate(ask=replace(ASK, break_glass=True), facts=facts, policy=document())
    assert decision.outcome is (Outcome.REFUSED if names else Outcome.STARTS)
    assert decision.clauses == ()


def test_broken_glass_is_as_short_as_the_policy_says():
    ask = replace(ASK, break_glass=True, duration=3601)
    assert evaluate(ask=ask, facts=FACTS, policy=document()).outcome is Outcome.REFUSED


def test_a_policy_without_broken_glass_allows_none():
    ask = replace(ASK, break_glass=True)
    decision = evaluate(ask=ask, facts=FACTS, policy=document(break_glass=None))
    assert decision.outcome is Outcome.REFUSED
    assert {result.rule for result in decision.refusals} == {"may_break_glass", "max_duration"}


def test_broken_glass_is_not_held_up_by_windows_and_freezes():
    facts = replace(FACTS, now=dt.datetime(2026, 12, 21, 3, tzinfo=dt.UTC))
    assert evaluate(ask=ASK, facts=facts, policy=document()).outcome is Outcome.REFUSED
    assert (
        evaluate(ask=replace(ASK, break_glass=True), facts=facts, policy=document()).outcome is Outcome.STARTS
    )


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"duration": 5 * 3600}, "max_duration"),
        ({"starts_at": NOW - dt.timedelta(days=1)}, "start"),
        ({"reason": ""}, "reason"),
        ({"ticket": "none"}, "ticket"),
        ({"starts_at": dt.datetime(2026, 10, 21, 12, tzinfo=dt.UTC)}, "in_window"),
        ({"cluster": "db"}, "covers"),
        ({"target_count": 0}, "has_targets"),
    ],
)
def test_each_rule_of_the_policy_is_asked(change, rule):
    decision = evaluate(ask=replace(ASK, **change), facts=FACTS, policy=document())
    assert decision.outcome is Outcome.REFUSED
    assert rule in {result.rule for result in decision.refusals}


INCIDENT = replace(ASK, incident="INC-101", reason="", ticket="", duration=7200)
OPEN = replace(
    FACTS,
    workflow_open=True,
    workflow_on_cluster=True,
    approvers=(),
    workflow=WorkflowFacts(kind="incident", source="stint", doing=Doing(Whose.OTHER, by="bob")),
)


def test_an_incident_passes_over_windows_freezes_reason_ticket_and_approvals():
    christmas = replace(OPEN, now=dt.datetime(2026, 12, 24, 12, tzinfo=dt.UTC))
    decision = evaluate(ask=INCIDENT, facts=christmas, policy=document())
    assert decision.outcome is Outcome.STARTS
    assert decision.clauses == ()


@given(st.sets(st.sampled_from(sorted({*REFUSING, "workflow_open", "workflow_on_cluster"} - {"approvers"}))))
def test_an_incident_passes_over_no_fact(names):
    refusing = {**REFUSING, "workflow_open": False, "workflow_on_cluster": False}
    facts = replace(OPEN, **{name: refusing[name] for name in names})
    decision = evaluate(ask=INCIDENT, facts=facts, policy=document())
    assert decision.outcome is (Outcome.REFUSED if names else Outcome.STARTS)
    assert len(decision.results) == len(rules_of(case(ask=INCIDENT), Step.REQUEST))


def test_an_incident_is_as_short_as_the_policy_says():
    decision = evaluate(ask=replace(INCIDENT, duration=7201), facts=OPEN, policy=document())
    assert {result.rule for result in decision.refusals} == {"max_duration"}


def test_an_incident_can_need_the_same_approvals_as_planned_work():
    policy = document(incident={"on_call": ["on-call"], "approvals": "same"})
    decision = evaluate(ask=INCIDENT, facts=replace(OPEN, approvers=TWO), policy=policy)
    assert decision.outcome is Outcome.NEEDS_APPROVAL
    assert decision.clauses == policy.clauses
    assert evaluate(ask=INCIDENT, facts=OPEN, policy=policy).outcome is Outcome.REFUSED


def test_a_policy_without_incidents_allows_none():
    decision = evaluate(ask=INCIDENT, facts=OPEN, policy=document(incident=None))
    assert {"on_call", "max_duration"} <= {result.rule for result in decision.refusals}


def test_who_names_no_incident_is_told_to():
    decision = evaluate(ask=replace(INCIDENT, incident=""), facts=FACTS, policy=document())
    assert "incident_open" in {result.rule for result in decision.refusals}
