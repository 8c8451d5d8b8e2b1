"""What a change of a document may widen. Whatever is not proven to only narrow counts as wider."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.approval_count import at_least, lacking
from sessions_app.policy.catalog import ClusterDocument
from sessions_app.policy.commands.kinds import parse_document
from sessions_app.policy.policies import Clause, PolicyDocument
from sessions_app.policy.widening import wider_cluster, wider_commands, wider_policy, within_terms

DAY, NIGHT = (
    {"days": ["mon", "tue"], "from": start, "to": end, "zone": "Europe/Berlin"}
    for start, end in (("08:00", "18:00"), ("22:00", "06:00"))
)
FREEZE = {"from": "2026-12-20T00:00:00+00:00", "to": "2027-01-02T00:00:00+00:00", "reason": "Holidays"}
TICKET = {
    "kinds": ["ticket", "change"],
    "sources": ["stint", "jira"],
    "severity": ["P1", "P2"],
    "staleness": "10m",
}
POLICY: dict[str, Any] = {
    "name": "web-work",
    "summary": "Work",
    "clusters": ["web", "db"],
    "command_sets": ["restart", "logs"],
    "requesters": {"groups": ["operators", "leads"], "identities": ["zoe"]},
    "viewers": {"groups": ["auditors"]},
    "administrators": {"groups": ["admins"], "identities": ["dora"]},
    "approvals": [{"count": 2, "from": ["leads", "dba"]}],
    "confirmation": "required",
    "max_duration": "4h",
    "max_horizon": "7d",
    "decision_time": "8h",
    "windows": [DAY, NIGHT],
    "freezes": [FREEZE],
    "extension": {"times": 2, "by": "1h"},
    "break_glass": {"groups": ["leads", "dba"], "max_duration": "1h", "review_within": "4h"},
    "incident": {"on_call": ["leads", "dba"], "max_duration": "2h", "review_within": "4h"},
    "deviations": {"limit": 20},
    "notify": {"webhooks": ["siem"]},
    "escalation": [{"after": "1h", "notify": {"groups": ["admins"]}}],
    "workflow": TICKET,
    "heartbeat": "1m",
    "delegation": {"depth": 2, "to": {"groups": ["robots"], "identities": ["zoe"]}},
    "recordings": {"keep": "90d"},
    "hold_answers": {"times": 5, "grant": False},
}


def policy(**changes: Any) -> PolicyDocument:
    kept = {key: value for key, value in {**POLICY, **changes}.items() if value is not None}
    return PolicyDocument.model_validate(kept)


NARROWER = [
    {},
    {"summary": "Other work"},
    {"clusters": ["db"]},
    {"command_sets": ["logs"]},
    {"requesters": {"groups": ["leads"]}},
    {"viewers": None},
    {"approvals": [{"count": 3, "from": ["leads", "dba"]}]},
    {"approvals": [{"count": 1, "from": ["dba"]}, {"count": 1, "from": ["leads", "dba"]}]},
    {"max_duration": "3h"},
    {"max_horizon": "1d"},
    {"decision_time": "1h"},
    {"ticket": "OPS-[0-9]+"},
    {"windows": [DAY]},
    {"windows": [{**DAY, "days": ["tue"]}]},
    {"freezes": [{**FREEZE, "from": "2026-12-01T00:00:00+00:00"}]},
    {"extension": None},
    {"extension": {"times": 1, "by": "30m"}},
    {"break_glass": None},
    {"break_glass": {"groups": ["dba"], "max_duration": "30m", "review_within": "1h"}},
    {"incident": None},
    {
        "incident": {
            "on_call": ["dba"],
            "max_duration": "1h",
            "review_within": "1h",
            "own": "forbid",
            "approvals": "same",
        }
    },
    {"deviations": {"limit": 5, "people": "end"}},
    {"heartbeat": "30s"},
    {"delegation": None},
    {"delegation": {"depth": 1, "to": {"groups": ["robots"]}}},
    {
        "workflow": {
            **TICKET,
            "kinds": ["ticket"],
            "sources": ["jira"],
            "severity": ["P1"],
            "staleness": "5m",
            "requester": "assignee",
        }
    },
]
WIDER = [
    {"clusters": ["web", "db", "dns"]},
    {"command_sets": ["restart", "logs", "stop"]},
    {"requesters": {"groups": ["operators", "leads"], "identities": ["zoe", "dora"]}},
    {"requesters": {"groups": ["everyone"]}},
    {"viewers": {"groups": ["auditors", "everyone"]}},
    {"administrators": {"groups": ["admins"]}},
    {"approvals": "none"},
    {"approvals": [{"count": 1, "from": ["leads", "dba"]}]},
    {"approvals": [{"count": 2, "from": ["leads", "dba", "friends"]}]},
    {"approvals": [{"count": 2, "from": ["leads", "dba"]}, {"count": 1, "from": ["friends"]}]},
    {"confirmation": None},
    {"max_duration": "5h"},
    {"max_horizon": "8d"},
    {"decision_time": "9h"},
    {"reason": "optional"},
    {"windows": None},
    {"windows": [{**DAY, "days": ["sun"]}]},
    {"windows": [{**DAY, "to": "19:00"}]},
    {"windows": [{**DAY, "zone": "UTC"}]},
    {"freezes": []},
    {"freezes": [{**FREEZE, "to": "2026-12-21T00:00:00+00:00"}]},
    {"extension": {"times": 3, "by": "1h"}},
    {"extension": {"times": 2, "by": "2h"}},
    {"extension": {"times": 2, "by": "1h", "approvals": "none"}},
    *(
        {"break_glass": {**POLICY["break_glass"], **one}}
        for one in (
            {"groups": ["leads", "dba", "operators"]},
            {"max_duration": "2h"},
            {"review_within": "5h"},
        )
    ),
    *(
        {"incident": {**POLICY["incident"], **one}}
        for one in (
            {"on_call": ["leads", "dba", "operators"]},
            {"max_duration": "3h"},
            {"review_within": "5h"},
        )
    ),
    {"deviations": None},
    {"deviations": {"limit": 21}},
    {"notify": None},
    {"notify": {"webhooks": ["mine"]}},
    {"escalation": []},
    {"workflow": None},
    {"heartbeat": None},
    {"heartbeat": "2m"},
    {"recordings": {"keep": "1d"}},
    {"hold_answers": None},
    {"hold_answers": {"times": 6, "grant": False}},
    {"hold_answers": {"times": 5}},
    *(
        {"workflow": {**TICKET, **one}}
        for one in (
            {"kinds": ["ticket", "task"]},
            {"sources": None},
            {"severity": ["P1", "P2", "P3"]},
            {"staleness": "15m"},
            {"requester": "assignee", "approvals": "none"},
        )
    ),
    {"delegation": {**POLICY["delegation"], "depth": 3}},
    {"delegation": {"depth": 2, "to": {"groups": ["robots", "everyone"]}}},
]


@pytest.mark.parametrize("change", NARROWER, ids=str)
def test_what_only_narrows_a_policy_widens_nothing(change):
    assert wider_policy(policy(), policy(**change)) == []


@pytest.mark.parametrize("change", WIDER, ids=str)
def test_what_may_widen_a_policy_is_named(change):
    assert wider_policy(policy(), policy(**change)) == list(change)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"reason": "optional"}, {"reason": "required"}),
        ({"windows": None}, {"windows": [DAY]}),
        ({"workflow": None}, {"workflow": {"kinds": ["ticket"]}}),
        ({"heartbeat": None}, {"heartbeat": "1h"}),
        ({"deviations": None}, {"deviations": {"limit": 50}}),
    ],
)
def test_a_new_condition_narrows_and_its_removal_widens(before, after):
    assert wider_policy(policy(**before), policy(**after)) == []
    assert wider_policy(policy(**after), policy(**before)) == list(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ticket": "OPS-[0-9]+"}, {"ticket": "OPS-[0-9]{1,3}"}),
        (
            {"workflow": None},
            {"workflow": {"kinds": ["ticket"], "requester": "assignee", "approvals": "none"}},
        ),
        ({"workflow": None}, {"workflow": {"kinds": ["ticket"], "staleness": "1d"}}),
        ({"incident": {"on_call": ["dba"], "own": "forbid"}}, {"incident": {"on_call": ["dba"]}}),
        ({"incident": {"on_call": ["dba"], "approvals": "same"}}, {"incident": {"on_call": ["dba"]}}),
        ({"deviations": {"limit": 9, "people": "end"}}, {"deviations": {"limit": 9}}),
        *(
            ({key: None}, {key: POLICY[key]})
            for key in ("extension", "break_glass", "incident", "delegation", "viewers")
        ),
        ({"approvals": "none"}, {"approvals": POLICY["approvals"]}),
    ],
)
def test_a_looser_or_a_new_way_to_get_access_widens(before, after):
    assert wider_policy(policy(**before), policy(**after)) == list(after)


def test_each_key_of_a_policy_is_compared():
    assert {key for change in (*NARROWER, *WIDER) for key in change} | {"name"} == set(
        PolicyDocument.model_fields
    )


GROUPS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)
CLAUSES = st.lists(
    st.builds(lambda count, groups: Clause(count=count, groups=tuple(groups)), st.integers(1, 2), GROUPS),
    max_size=3,
)


@given(CLAUSES, CLAUSES, st.lists(st.frozensets(st.sampled_from("abc")), max_size=5))
def test_people_who_meet_stricter_clauses_meet_the_looser_ones(before, after, people):
    if at_least(after, before) and not any(lacking(after, people)):
        assert not any(lacking(before, people))


def test_terms_that_were_approved_are_narrowed_by_the_policy_and_never_widened():
    loose = {
        "extension": POLICY["extension"],
        "deviations": {"limit": 20},
        "heartbeat": "1m",
        "delegation": POLICY["delegation"],
    }
    strict = {"extension": None, "deviations": {"limit": 5}, "heartbeat": "30s", "delegation": None}
    before, after = policy(**loose), policy(**strict)
    assert within_terms(after, before.terms).terms == after.terms
    assert within_terms(before, after.terms).terms == after.terms
    assert within_terms(before, before.terms) == before


def test_who_may_request_see_or_allow_on_a_cluster_is_what_widens_it():
    target = {"name": "web-1", "address": "10.0.0.1"}
    base = {
        "name": "web",
        "kind": "postgres",
        "environment": "production",
        "risk": "high",
        "targets": [target],
    }
    parts = ("requesters", "approvers", "viewers")
    closed, opened = (
        ClusterDocument.model_validate({**base, **dict.fromkeys(parts, who)})
        for who in (None, {"identities": ["dora"]})
    )
    assert wider_cluster(closed, opened) == list(parts)
    assert wider_cluster(opened, closed) == []


RESTART = {"run": "echo restart {unit}", "effect": "change", "hold": True}
LOG = {"run": "echo log {n}", "effect": "read", "where": {"n": {"int": [1, 100]}}}


def commands(*rules: dict[str, Any], unit: Any = None) -> Any:
    parameters = {"parameters": {"unit": unit}} if unit else {}
    return parse_document(
        {"name": "s", "kind": "ssh", "summary": "s", "risk": "low", "commands": list(rules), **parameters}
    )


@pytest.mark.parametrize(
    ("before", "after", "wider"),
    [
        (commands(LOG), commands({**LOG, "where": {"n": {"int": [1, 10]}}}), False),
        (commands(LOG), commands({**LOG, "where": {"n": {"int": [1, 101]}}}), True),
        (commands(LOG), commands(LOG, {"run": "echo stop", "effect": "read"}), True),
        (
            commands(RESTART, LOG, unit={"choice": ["a", "b"]}),
            commands(RESTART, unit={"choice": ["a"]}),
            False,
        ),
        (commands(RESTART, unit={"choice": ["a"]}), commands(RESTART, unit={"choice": ["a", "b"]}), True),
        (
            commands(RESTART, unit={"choice": ["a"]}),
            commands({**RESTART, "hold": False}, unit={"choice": ["a"]}),
            True,
        ),
        # Approvers read the value of a parameter, and a workflow may have given it.
        (
            commands(RESTART, unit={"name": 9, "from": "workflow.id"}),
            commands(RESTART, unit={"name": 9}),
            True,
        ),
        (commands(RESTART, unit={"name": 9}), commands({**RESTART, "where": {"unit": {"name": 9}}}), True),
    ],
)
def test_a_command_set_is_wider_unless_each_command_was_allowed_as_strictly(before, after, wider):
    assert (wider_commands(before, after) is not None) is wider
