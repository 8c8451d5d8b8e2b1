"""The exact scope of a request, its digest, and how an approver can reduce it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sessions_app.policy.digests import digest_of


class CannotWiden(ValueError):
    """A reduction that exceeds the request, or leaves nothing. The message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFacts:
    """The properties of a target that an approval is bound to."""

    id: int
    name: str
    address: str
    port: int
    account: str
    host_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Everything that an approver approves."""

    requester: str
    kind: str
    cluster: str
    host_ca: str
    command_set: str
    command_set_version: int
    command_set_digest: str
    parameters: Mapping[str, str]
    targets: Sequence[TargetFacts]
    starts_at: dt.datetime | None
    duration: int
    extends: str | None = None
    parent: str | None = None
    workflow: str | None = None
    workflow_facts: Mapping[str, str] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    terms: Mapping[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """Return the SHA-256 over every field, in hex. Any change results in another digest."""
        targets = [
            [target.id, target.name, target.address, target.port, target.account, target.host_key]
            for target in sorted(self.targets, key=lambda target: target.id)
        ]
        # Included only if set, so that the digests of approvals that predate these fields stay the same.
        named: dict[str, Any] = {} if self.workflow is None else {"workflow": self.workflow}
        if self.workflow_facts:
            named["workflow_facts"] = dict(self.workflow_facts)
        if self.parent:
            named["parent"] = self.parent
        if self.connection:
            named["connection"] = dict(self.connection)
        if self.terms:
            named["terms"] = dict(self.terms)
        return digest_of(
            {
                "requester": self.requester,
                "kind": self.kind,
                "cluster": [self.cluster, self.host_ca],
                "command_set": [self.command_set, self.command_set_version, self.command_set_digest],
                "parameters": dict(self.parameters),
                "targets": targets,
                "window": [
                    self.starts_at.astimezone(dt.UTC).isoformat() if self.starts_at else None,
                    self.duration,
                ],
                "extends": self.extends,
                **named,
            }
        )


@dataclass(frozen=True, slots=True)
class Extent:
    """What approvers can reduce: the seconds, the indices of commands, and the IDs of targets."""

    duration: int
    commands: frozenset[int]
    targets: frozenset[int]

    def narrowed(self, narrowing: Mapping[str, Any]) -> Extent:
        """Return the extent that remains after an approver's reduction.

        The reduction can contain `duration` (whole seconds), and `commands` and `targets` (lists of whole
        numbers). Raises CannotWiden if the reduction exceeds the request, leaves nothing, or contains an
        unknown key: an approver must not believe in a reduction that has no effect.
        """
        if unknown := sorted(set(map(str, narrowing)) - {"duration", "commands", "targets"}):
            raise CannotWiden(f"Only duration, commands and targets can be reduced, not {unknown[0]}.")
        return Extent(
            duration=_shorter(self.duration, narrowing.get("duration")),
            commands=_fewer("command", self.commands, narrowing.get("commands")),
            targets=_fewer("target", self.targets, narrowing.get("targets")),
        )

    def meet(self, others: Iterable[Extent]) -> Extent:
        """Return the intersection of all extents. Raises CannotWiden if nothing is left."""
        duration, commands, targets = self.duration, self.commands, self.targets
        for other in others:
            duration = min(duration, other.duration)
            commands, targets = commands & other.commands, targets & other.targets
        if not commands or not targets:
            raise CannotWiden("The approvers' choices have no command or no target in common.")
        return Extent(duration, commands, targets)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shorter(asked: int, wanted: Any) -> int:
    if wanted is None:
        return asked
    if not _is_whole(wanted):
        raise CannotWiden("The duration must be a whole number of seconds.")
    if not 0 < wanted <= asked:
        raise CannotWiden("The duration can only be reduced.")
    return int(wanted)


def _fewer(what: str, asked: frozenset[int], wanted: Any) -> frozenset[int]:
    if wanted is None:
        return asked
    if not isinstance(wanted, list | tuple | set | frozenset) or not all(map(_is_whole, wanted)):
        raise CannotWiden(f"The remaining {what}s must be a list of whole numbers.")
    kept = frozenset(wanted)
    if not kept:
        raise CannotWiden(f"At least one {what} must remain. To allow none, deny the request.")
    if not kept <= asked:
        raise CannotWiden(f"You can't add a {what} that was not requested.")
    return kept
