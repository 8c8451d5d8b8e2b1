"""Past requests judged again."""

import datetime as dt

import pytest

from sessions_app.policy.decision import Outcome
from sessions_app.policy.policies import PolicyDocument, Who
from sessions_app.policy.replay import PastRequest, named, replay
from sessions_app.policy.rules import Ask, WorkflowFacts

AT = dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC)


def policy(**changes) -> PolicyDocument:
    base = {
        "name": "p",
        "clusters": ["web"],
        "command_sets": ["restart"],
        "requesters": {"groups": ["ops"]},
        "approvals": [{"count": 1, "from": ["leads"]}],
        "max_duration": "4h",
    }
    return PolicyDocument.model_validate({**base, **changes})


def past(ref="REQ-1", **changes) -> PastRequest:
    by_cluster = changes.pop("by_cluster", False)
    ask = {
        "requester": "alice",
        "requester_groups": frozenset({"ops"}),
        "cluster": "web",
        "command_set": "restart",
        "target_count": 1,
        "duration": 3600,
        "starts_at": None,
        "reason": "x",
        "ticket": "",
    }
    workflow = WorkflowFacts(kind="incident", source="stint") if changes.get("workflow") else None
    return PastRequest(
        ref=ref, at=AT, ask=Ask(**{**ask, **changes}), by_cluster=by_cluster, workflow=workflow
    )


def judged(pasts, after, before=None, people=2):
    there = (frozenset({"leads", "bosses"}),) * people
    found = replay(pasts, before=before or policy(), after=after, approvers=lambda past: there)
    return [(one.past.ref, one.before.outcome, one.after.outcome) for one in found]


def test_what_stays_the_same_is_not_listed():
    assert judged([past()], policy()) == []
    assert judged([past()], policy(summary="Other words", max_horizon="2d")) == []


def test_what_would_be_refused_is_listed_alone():
    found = judged([past("REQ-1"), past("REQ-2", duration=10_000)], policy(max_duration="1h"))
    assert found == [("REQ-2", Outcome.NEEDS_APPROVAL, Outcome.REFUSED)]


def test_other_approvals_are_another_decision():
    assert judged([past()], policy(approvals=[{"count": 2, "from": ["leads"]}]))
    assert judged([past()], policy(approvals=[{"count": 1, "from": ["bosses"]}]))
    assert judged([past()], policy(approvals="none")) == [("REQ-1", Outcome.NEEDS_APPROVAL, Outcome.STARTS)]


def test_two_refusals_for_other_reasons_are_the_same_decision():
    assert judged([past(duration=99_999)], policy(max_duration="1h")) == []


def test_who_may_ask_is_judged_by_the_documents_words_or_by_the_cluster():
    nobody = policy(requesters={"identities": ["zoe"]})
    assert judged([past()], nobody) == [("REQ-1", Outcome.NEEDS_APPROVAL, Outcome.REFUSED)]
    assert judged([past(by_cluster=True)], nobody) == []


def test_windows_are_those_of_the_time_when_it_was_asked():
    open_then = policy(windows=[{"days": ["thu"], "from": "11:00", "to": "15:00", "zone": "UTC"}])
    closed_then = policy(windows=[{"days": ["fri"], "from": "11:00", "to": "15:00", "zone": "UTC"}])
    assert judged([past()], open_then) == []
    assert judged([past()], closed_then)


def test_access_for_an_incident_and_broken_glass_are_judged_by_their_own_rules():
    terms = {"incident": {"on_call": ["ops"]}, "break_glass": {"groups": ["ops"], "max_duration": "1h"}}
    pasts = [past("REQ-1", incident="INC-1", workflow="INC-1"), past("REQ-2", break_glass=True)]
    assert judged(pasts, policy(**terms), before=policy(**terms)) == []
    assert [ref for ref, *_ in judged(pasts, policy(), before=policy(**terms))] == ["REQ-1", "REQ-2"]


@pytest.mark.parametrize(
    ("who", "is_named"),
    [({"groups": ["ops"]}, True), ({"groups": ["other"]}, False), ({"identities": [" Alice "]}, True)],
)
def test_a_list_names_by_group_or_by_any_spelling_of_a_name(who, is_named):
    assert named(Who.model_validate(who), "alice", ["ops"]) is is_named
