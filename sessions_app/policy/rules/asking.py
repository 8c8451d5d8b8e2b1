"""Rules about the requester, the requested access, and whether anyone can approve and end it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import re2

from sessions_app.policy.approval_count import short_of
from sessions_app.policy.decision import Deny, Permit
from sessions_app.policy.policies import Clause
from sessions_app.policy.rules.facts import Ask, Facts
from sessions_app.policy.samples import sample_of

SWEEPER_SILENCE = 30.0


@dataclass(frozen=True, slots=True)
class RequesterEnabled:
    """Requires an enabled requester. Disabled identities, and machines of disabled owners, get no access."""

    tag: ClassVar[str] = "requester_enabled"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.requester_enabled:
            return Permit(f"{ask.requester} is enabled.")
        return Deny(f"{ask.requester} is disabled.", "An administrator can enable the identity.")


@dataclass(frozen=True, slots=True)
class MayRequest:
    """Requires that the policy or the cluster allows the requester to request access."""

    tag: ClassVar[str] = "may_request"
    policy: str

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.may_request:
            return Permit(f"{ask.requester} can request access under {self.policy}.")
        return Deny(
            f"{ask.requester} can't request access under {self.policy}.",
            "Ask an administrator of the policy to add you or one of your groups.",
        )


@dataclass(frozen=True, slots=True)
class Covers:
    """Requires that the policy covers the cluster and the command set, and that both exist."""

    tag: ClassVar[str] = "covers"
    policy: str
    clusters: tuple[str, ...]
    command_sets: tuple[str, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if not facts.policy_live:
            return Deny(f"The policy {self.policy} was removed.", "Choose another policy.")
        if ask.cluster not in self.clusters or not facts.cluster_live:
            return Deny(
                f"{self.policy} does not cover the cluster {ask.cluster}.",
                "Choose one of: " + ", ".join(self.clusters),
            )
        if ask.command_set not in self.command_sets:
            return Deny(
                f"{self.policy} does not cover the command set {ask.command_set}.",
                "Choose one of: " + ", ".join(self.command_sets),
            )
        if not facts.command_set_published:
            return Deny(
                f"The command set {ask.command_set} has no published version.",
                "An administrator must publish a version first.",
            )
        return Permit(f"{self.policy} covers {ask.command_set} on {ask.cluster}.")


@dataclass(frozen=True, slots=True)
class KindsFit:
    """Requires a command set of the cluster's kind."""

    tag: ClassVar[str] = "kinds_fit"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.kinds_fit:
            return Permit(f"{ask.command_set} matches the kind of {ask.cluster}.")
        return Deny(
            f"The commands of {ask.command_set} are for another kind of cluster than {ask.cluster}.",
            "Choose a command set of the cluster's kind.",
        )


@dataclass(frozen=True, slots=True)
class HasTargets:
    """Requires at least one target. If a target is removed, the request becomes void."""

    tag: ClassVar[str] = "has_targets"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.target_count and facts.targets_live:
            return Permit(
                f"{ask.target_count} target{'s' if ask.target_count != 1 else ''} on {ask.cluster}."
            )
        if not ask.target_count:
            return Deny("No target is chosen.", f"Choose at least one target of {ask.cluster}.")
        return Deny(f"A target is no longer on {ask.cluster}.", "Choose current targets of the cluster.")


@dataclass(frozen=True, slots=True)
class Reason:
    """Requires a reason if the policy does."""

    tag: ClassVar[str] = "reason"
    required: bool

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.reason.strip() or not self.required:
            return Permit("A reason is given." if ask.reason.strip() else "No reason is needed.")
        return Deny("A reason is required.", "Describe what you are going to do.")


@dataclass(frozen=True, slots=True)
class Ticket:
    """Requires a ticket in the format of the policy."""

    tag: ClassVar[str] = "ticket"
    pattern: str

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if re2.fullmatch(self.pattern, ask.ticket.strip()):
            return Permit(f"Ticket {ask.ticket.strip()} has the required format.")
        sample = sample_of(self.pattern)
        wanted = (
            f"Enter a ticket like {sample}."
            if sample
            else "Enter a ticket in the format that the policy requires."
        )
        if not ask.ticket.strip():
            return Deny("A ticket is required.", wanted)
        return Deny(f"“{ask.ticket}” does not have the required format.", wanted)


@dataclass(frozen=True, slots=True)
class SweeperAlive:
    """Requires that a process that can end access is running. Otherwise, nothing new starts."""

    tag: ClassVar[str] = "sweeper_alive"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.sweeper_silence is not None and facts.sweeper_silence <= SWEEPER_SILENCE:
            return Permit("The processes that end access are running.")
        return Deny(
            "No process that ends access has run for 30 seconds, so no new access can start.",
            "An administrator must start the worker or a gateway.",
        )


def nobody_else(facts: Facts) -> Deny:
    """Return the denial for a requester without an email address, because any approver could be the same
    person.
    """
    whose = "Your account" if facts.is_person else "The account of your owner"
    return Deny(
        f"{whose} has no email address, so no approver can be verified to be another person.",
        "Ask an administrator to add one.",
    )


@dataclass(frozen=True, slots=True)
class EnoughApprovers:
    """Refuses a request immediately, with the reason, if no one could ever approve it."""

    tag: ClassVar[str] = "enough_approvers"
    clauses: tuple[Clause, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.approvers is None:
            return Deny("Stint could not determine the approvers.", "Try again.")
        if self.clauses and not facts.is_known:
            return nobody_else(facts)
        if said := short_of(self.clauses, facts.approvers, "other person", "other people"):
            return Deny(
                f"Needs {said}.",
                "Ask an administrator to add approvers. Your own approval does not count.",
            )
        if not self.clauses:
            return Permit("No approval needed.")
        needed = sum(clause.count for clause in self.clauses)
        return Permit(f"Needs {needed} approval{'s' if needed != 1 else ''}.")
