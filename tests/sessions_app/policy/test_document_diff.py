"""Differences between versions of documents, as sentences that name what changed."""

import pytest

from sessions_app.policy.document_diff import diff_any

POLICY = {
    "name": "web-work",
    "requesters": {"groups": ["operators"]},
    "approvals": [{"count": 1, "groups": ["security"]}, {"count": 1, "groups": ["owners", "leads"]}],
    "max_duration": "1h",
    "command_sets": ["restart-web"],
}
SET = {
    "name": "restart-web",
    "commands": [
        {"run": "systemctl restart {unit}", "effect": "change"},
        {"run": "journalctl -n {lines}", "effect": "read", "where": {"lines": {"int": [1, 1000]}}},
    ],
    "parameters": {"unit": {"choice": ["nginx"]}},
}
START, LOG = SET["commands"]


@pytest.mark.parametrize(
    ("before", "changes", "said"),
    [
        (POLICY, {"max_duration": "2h"}, ["changed: longest time 1 h → 2 h"]),
        (POLICY, {"max_duration": "1h30m"}, ["changed: longest time 1 h → 1 h 30 min"]),
        (
            POLICY,
            {"approvals": [{"count": 2, "groups": ["security"]}]},
            ["removed: approvals: 1 from owners or leads", "changed: approvals from security 1 → 2"],
        ),
        (POLICY, {"requesters": {"groups": ["operators", "leads"]}}, ["added: requesters: group leads"]),
        (POLICY, {"command_sets": []}, ["removed: command set restart-web"]),
        (POLICY, {"heartbeat": "30s"}, ["added: heartbeat 30 s"]),
        (SET, {"commands": [LOG]}, ["removed: command `systemctl restart {unit}`"]),
        (
            SET,
            {"commands": [{**START, "effect": "destructive", "hold": True}, LOG]},
            [
                "changed: command `systemctl restart {unit}`: effect change → destructive",
                "added: command `systemctl restart {unit}`: hold yes",
            ],
        ),
        (
            SET,
            {"commands": [START, {**LOG, "where": {"lines": {"int": [1, 9000]}}}]},
            ["changed: command `journalctl -n {lines}`: where lines int 1 to 1000 → 1 to 9000"],
        ),
        (SET, {"commands": [LOG, START]}, ["changed: commands: order changed"]),
        (
            SET,
            {"parameters": {"unit": {"choice": ["nginx", "haproxy"]}}},
            ["added: parameters: unit choice: haproxy"],
        ),
        (SET, {}, []),
    ],
)
def test_what_changed_is_said(before, changes, said):
    found = diff_any(before, {**before, **changes})
    assert [f"{change.action}: {change.message}" for change in found] == said


def test_the_first_version_and_a_removal_are_one_line_each():
    assert [change.message for change in diff_any(None, POLICY)] == ["created"]
    assert [change.message for change in diff_any(POLICY, None)] == ["removed"]
