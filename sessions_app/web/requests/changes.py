"""Sentences about how a request changed after an approver read its page.

The page contains a summary of what it showed. The summary is signed so that it can't be forged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import signing

from sessions_app.models import AccessRequest, Target, Verdict
from sessions_app.policy.durations import say_duration
from sessions_app.policy.scope import Extent
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.extents import left_of

_SALT = "stint.read"
LONGEST = 20_000


def signed_summary(request: AccessRequest, targets: Sequence[Target]) -> str:
    """Return a signed summary of a request and its targets as the page shows them. The decision form sends
    the summary back.
    """
    return signing.dumps(_summary(request, targets), salt=_SALT, compress=True)


def changes_since(request: AccessRequest, targets: Sequence[Target], signed: str) -> list[str]:
    """Return the changes since the page was read. Empty if there are none, or if Stint did not sign the
    summary.
    """
    try:
        read = signing.loads(signed[:LONGEST], salt=_SALT)
    except signing.BadSignature:
        return []
    now = _summary(request, targets)
    if read.get("request") != now["request"]:
        return []
    return [*_of_scope(read, now), *_of_targets(read["targets"], now["targets"]), *_of_others(read, now)]


def _summary(request: AccessRequest, targets: Sequence[Target]) -> dict[str, Any]:
    scope = facts.scope_of(request, targets)
    left = left_of(request)
    return {
        "request": request.ref,
        "duration": scope.duration,
        "start": scope.starts_at.isoformat() if scope.starts_at else "",
        "set": f"{scope.command_set} v{scope.command_set_version}",
        "set_digest": scope.command_set_digest,
        "host_ca": scope.host_ca,
        "parameters": dict(scope.parameters),
        "targets": {
            target.name: [f"{target.account}@{target.address}:{target.port}", target.host_key]
            for target in scope.targets
        },
        "left": _as_data(left),
        "given": {str(one.approver): one.verdict for one in request.approvals.all() if one.voided_at is None},
    }


def _as_data(left: Extent) -> dict[str, Any]:
    return {
        "duration": left.duration,
        "commands": sorted(left.commands),
        "targets": sorted(left.targets),
    }


def _of_scope(read: dict[str, Any], now: dict[str, Any]) -> list[str]:
    found = []
    if read["duration"] != now["duration"]:
        found.append(
            f"The duration is now {say_duration(now['duration'])}, not {say_duration(read['duration'])}."
        )
    if read["start"] != now["start"]:
        found.append("The start time changed.")
    if (read["set"], read["set_digest"]) != (now["set"], now["set_digest"]):
        found.append(f"The command set is now {now['set']}; it was {read['set']}.")
    if read["parameters"] != now["parameters"]:
        found.append("Parameter values changed.")
    if read["host_ca"] != now["host_ca"]:
        found.append("The cluster's host certificate authority changed.")
    return found


def _of_targets(read: dict[str, list[str]], now: dict[str, list[str]]) -> list[str]:
    found = [f"{name} was removed." for name in sorted(set(read) - set(now))]
    found += [f"{name} was added." for name in sorted(set(now) - set(read))]
    for name in sorted(set(read) & set(now)):
        if read[name][0] != now[name][0]:
            found.append(f"{name} is now {now[name][0]}; it was {read[name][0]}.")
        if read[name][1] != now[name][1]:
            found.append(f"The host key of {name} changed.")
    return found


def _of_others(read: dict[str, Any], now: dict[str, Any]) -> list[str]:
    words = {Verdict.APPROVE: "approved", Verdict.DENY: "denied"}
    new = {name: verdict for name, verdict in now["given"].items() if read["given"].get(name) != verdict}
    found = [
        f"{name} {words[Verdict(verdict)]} the request in the meantime." for name, verdict in new.items()
    ]
    before, after = read["left"], now["left"]
    if before == after:
        return found
    if after["duration"] != before["duration"]:
        found.append(f"{say_duration(after['duration'])} of {say_duration(before['duration'])} remain.")
    fewer = (what for what in ("commands", "targets") if after[what] != before[what])
    return [*found, *(f"{len(after[what])} of {len(before[what])} {what} remain." for what in fewer)]
