"""A starter policy."""

from __future__ import annotations

import json
from collections.abc import Sequence


def policy_source(
    *,
    name: str,
    clusters: Sequence[str],
    command_sets: Sequence[str],
    requesters: Sequence[str],
    approvers: Sequence[str],
    hours: int = 4,
) -> str:
    """Return the YAML of a policy with requesters, approvers and duration. Names are quoted, so that each
    remains one name.
    """
    approvals = f"\n  - {{count: 1, from: {json.dumps(list(approvers))}}}" if approvers else " none"
    return f"""\
name: {json.dumps(name)}
summary: "Say in one line what it does"
clusters: {json.dumps(list(clusters))}
command_sets: {json.dumps(list(command_sets))}
requesters: {{groups: {json.dumps(list(requesters))}}}
# `none` instead of the list lets every requester start immediately.
approvals:{approvals}
max_duration: {hours}h
reason: required
extension: {{times: 1, by: 1h, approvals: same}}
"""
