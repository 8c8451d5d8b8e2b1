"""A policy to begin with."""

from __future__ import annotations

import json
from collections.abc import Sequence


def policy_source(
    *, name: str, clusters: Sequence[str], command_sets: Sequence[str], requesters: Sequence[str],
    approvers: Sequence[str], hours: int = 4,
) -> str:  # fmt: skip
    """Return the text of a policy: who asks, who approves, how long. Names are written so that each stays one name."""
    approvals = f"\n  - {{count: 1, from: {json.dumps(list(approvers))}}}" if approvers else " none"
    return f"""\
name: {json.dumps(name)}
summary: "Say in one line what it is for"
clusters: {json.dumps(list(clusters))}
command_sets: {json.dumps(list(command_sets))}
requesters: {{groups: {json.dumps(list(requesters))}}}
# `none` in place of the list lets everybody who may ask start at once.
approvals:{approvals}
max_duration: {hours}h
reason: required
extension: {{times: 1, by: 1h, approvals: same}}
"""
