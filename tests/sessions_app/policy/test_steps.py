"""At which steps each rule is asked."""

from dataclasses import replace

import pytest

from sessions_app.policy import rules
from sessions_app.policy.decision import Deny
from sessions_app.policy.evaluate import refusal, rules_of
from sessions_app.policy.steps import STEPS, Step
from tests.sessions_app.policy.test_evaluate import ASK, FACTS, INCIDENT, OPEN, case, document

PUBLIC = {one for one in vars(rules).values() if hasattr(one, "verify") and one is not rules.Rule}
TERMS = {"kinds": ["incident"], "requester": "assignee", "approvals": "none"}
NAMED = {"workflow": "INC-101"}
SHARED = {"on_call": ["on-call"], "approvals": "same"}
CASES = [
    case(),
    case(ask=replace(ASK, **NAMED), facts=OPEN, policy=document(workflow=TERMS)),
    case(ask=INCIDENT, facts=OPEN),
    case(ask=INCIDENT, facts=OPEN, policy=document(incident=SHARED)),
    case(ask=replace(ASK, break_glass=True)),
]


def test_every_rule_is_placed_and_no_other():
    assert set(STEPS) == PUBLIC
    assert all(STEPS.values())


@pytest.mark.parametrize("step", Step)
def test_every_rule_is_asked_at_the_steps_at_which_it_is_placed(step):
    asked = {type(rule) for one in CASES for rule in rules_of(one, step)}
    assert asked == {rule for rule, steps in STEPS.items() if step in steps}


def test_without_the_facts_of_a_grant_nothing_starts_goes_on_or_is_extended():
    for step in (Step.START, Step.GO_ON, Step.EXTEND):
        assert all(refusal(one, step) for one in CASES), step
    for rule in rules_of(case(), Step.EXTEND):
        if Step.REQUEST not in STEPS[type(rule)]:
            assert isinstance(rule.verify(ASK, FACTS), Deny), rule
