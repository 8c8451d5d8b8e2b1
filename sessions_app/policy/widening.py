"""Checks whether a changed document may allow more than before. A change that is not proven to narrow access
counts as wider, including changes of unknown keys. Another administrator must publish a wider document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from sessions_app.policy.approval_count import at_least
from sessions_app.policy.catalog import ClusterDocument
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import compile_open, covers
from sessions_app.policy.commands.within import type_within
from sessions_app.policy.policies import (
    MACHINES_LIMIT,
    PEOPLES_LIMIT,
    STALENESS,
    BreakGlass,
    Clause,
    Delegation,
    Deviations,
    Extension,
    HoldAnswers,
    Incident,
    PolicyDocument,
    Terms,
    Who,
    WorkflowNeeded,
)
from sessions_app.policy.windows import Freeze, Window

# A function of a key's old and new value, which returns whether the change only narrows the document.
Narrows = Callable[[Any, Any], bool]


def wider_policy(before: PolicyDocument, after: PolicyDocument) -> list[str]:
    """Return the keys of a policy that may allow more, or require less, than before."""
    return _wider(_POLICY, before, after)


def within_terms(policy: PolicyDocument, terms: Terms) -> PolicyDocument:
    """Return the policy with each term that is wider than in ``terms`` replaced."""
    return policy.model_copy(update={key: getattr(terms, key) for key in _wider(_POLICY, terms, policy)})


def wider_cluster(before: ClusterDocument, after: ClusterDocument) -> list[str]:
    """Return the keys of a cluster that may give more people a permission on the cluster.

    The cluster's location counts as unchanged.
    """
    return _wider(_CLUSTER, before, after)


def wider_commands(before: CommandSetDocument, after: CommandSetDocument) -> str | None:
    """Return, as a clause, why a command set may allow more than before; None if it never does.

    A parameter has one value for the whole grant, which approvers see. Commands that use a parameter must
    stay unchanged.
    """
    if before.parameters and not _same_places(before, after):
        return "its parameters, or commands that use them, have changed"
    return covers(compile_open(before), compile_open(after))


def _same_places(before: CommandSetDocument, after: CommandSetDocument) -> bool:
    known = before.parameters
    return all(command in before.commands for command in after.commands) and all(
        name in known and type_.source == known[name].source and type_within(type_, known[name])
        for name, type_ in after.parameters.items()
    )


def _wider(rules: Mapping[str, Narrows], before: BaseModel, after: BaseModel) -> list[str]:
    return [
        key
        for key in type(before).model_fields
        if not rules.get(key, _same)(getattr(before, key), getattr(after, key))
    ]


def _same(before: Any, after: Any) -> bool:
    return bool(before == after)


def _any(before: Any, after: Any) -> bool:
    del before, after
    return True


def _fewer(before: tuple[Any, ...] | None, after: tuple[Any, ...] | None) -> bool:
    """Whether every item was already listed before. None means everything."""
    return before is None or (after is not None and set(after) <= set(before))


def _no_more(before: int, after: int) -> bool:
    return after <= before


def _people(before: Who | None, after: Who | None) -> bool:
    if before is None or after is None:
        return after is None
    return _fewer(before.groups, after.groups) and _fewer(before.identities, after.identities)


def _stays(word: str) -> Narrows:
    """Return a check of whether a key has the strict value or is unchanged."""
    return lambda before, after: after in (word, before)


def _added(before: Any, after: Any) -> bool:
    """Whether a condition is unchanged or newly added."""
    return before is None or before == after


def _approvals(before: Any, after: Any) -> bool:
    """Whether at least as many people must approve as before, and no additional people can.

    Approvers also release, review and allow commands.
    """
    was, now = (() if value == "none" else value for value in (before, after))
    return at_least(now, was) and _groups(now) <= _groups(was)


def _groups(clauses: tuple[Clause, ...]) -> set[str]:
    return {group for clause in clauses for group in clause.groups}


def _windows(before: tuple[Window, ...] | None, after: tuple[Window, ...] | None) -> bool:
    return before is None or (
        after is not None and all(any(_in_window(one, each) for each in before) for one in after)
    )


def _in_window(inner: Window, outer: Window) -> bool:
    """Whether both windows have the same times, and the new one has no additional days.

    Different times are not compared, because clocks change.
    """
    same = (inner.start, inner.end, inner.zone) == (outer.start, outer.end, outer.zone)
    return same and set(inner.days) <= set(outer.days)


def _freezes(before: tuple[Freeze, ...], after: tuple[Freeze, ...]) -> bool:
    return all(any(one.start <= old.start and old.end <= one.end for one in after) for old in before)


def _extension(before: Extension | None, after: Extension | None) -> bool:
    if before is None or after is None:
        return after is None
    same = _stays("same")(before.approvals, after.approvals)
    return same and after.times <= before.times and after.by <= before.by


def _break_glass(before: BreakGlass | None, after: BreakGlass | None) -> bool:
    if before is None or after is None:
        return after is None
    fewer = _fewer(before.groups, after.groups) and after.max_duration <= before.max_duration
    return fewer and after.review_within <= before.review_within


def _incident(before: Incident | None, after: Incident | None) -> bool:
    if before is None or after is None:
        return after is None
    fewer = _fewer(before.on_call, after.on_call) and after.max_duration <= before.max_duration
    strict = _stays("same")(before.approvals, after.approvals) and _stays("forbid")(before.own, after.own)
    return fewer and strict and after.review_within <= before.review_within


def _deviations(before: Deviations | None, after: Deviations | None) -> bool:
    pairs = ((before or limit, after or limit) for limit in (MACHINES_LIMIT, PEOPLES_LIMIT))
    return all(new.limit <= old.limit and new.people in ("end", old.people) for old, new in pairs)


def _workflow(before: WorkflowNeeded | None, after: WorkflowNeeded | None) -> bool:
    if after is None:
        return before is None
    if after.staleness > (before.staleness if before else STALENESS):
        return False
    if before is None:
        return after.approvals == "same"
    fewer = all(_fewer(getattr(before, key), getattr(after, key)) for key in ("kinds", "sources", "severity"))
    role = before.requester in ("anyone", after.requester)
    return fewer and role and _stays("same")(before.approvals, after.approvals)


def _heartbeat(before: int | None, after: int | None) -> bool:
    return before is None or (after is not None and after <= before)


def _hold_answers(before: HoldAnswers | None, after: HoldAnswers | None) -> bool:
    old, new = before or HoldAnswers(), after or HoldAnswers()
    return new.times <= old.times and (old.grant or not new.grant)


def _delegation(before: Delegation | None, after: Delegation | None) -> bool:
    if before is None or after is None:
        return after is None
    return after.depth <= before.depth and _people(before.to, after.to)


_POLICY: Mapping[str, Narrows] = {
    "summary": _any,
    "clusters": _fewer,
    "command_sets": _fewer,
    "requesters": _people,
    "viewers": _people,
    "approvals": _approvals,
    "confirmation": _stays("required"),
    "max_duration": _no_more,
    "max_horizon": _no_more,
    "decision_time": _no_more,
    "reason": _stays("required"),
    "ticket": _added,
    "windows": _windows,
    "freezes": _freezes,
    "extension": _extension,
    "break_glass": _break_glass,
    "incident": _incident,
    "deviations": _deviations,
    "workflow": _workflow,
    "heartbeat": _heartbeat,
    "delegation": _delegation,
    "hold_answers": _hold_answers,
}
# A cluster's own administrators can't change its location, how Stint logs in, or who administers it.
_CLUSTER: Mapping[str, Narrows] = {
    "summary": _any,
    "environment": _any,
    "risk": _any,
    "connection": _any,
    "targets": _any,
    "host_ca": _any,
    "requesters": _people,
    "approvers": _people,
    "viewers": _people,
    "administrators": _any,
}
