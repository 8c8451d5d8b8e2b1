"""The receipt of an ending or ended grant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from sessions_app.models import EndReason, Grant, GrantState, Lease, Observed
from sessions_app.queries.grants.observing import observed_under
from sessions_app.web.display.states import Look
from sessions_app.web.grants.log import Counts
from sessions_app.web.templatetags.times import ago, rough, when

# A revocation within this many seconds counts as immediate.
IMMEDIATE = 0.05


@dataclass(frozen=True, slots=True)
class Proof:
    """The targets' reports about the end of a grant."""

    leases: Sequence[Lease]
    untouched: int

    @property
    def gone(self) -> int:
        """The number of targets with a confirmed revocation."""
        return sum(1 for lease in self.leases if lease.gone_at)

    @property
    def silent(self) -> list[Lease]:
        """The leases whose revocation isn't confirmed yet."""
        return [lease for lease in self.leases if not lease.gone_at]

    @property
    def sentence(self) -> str:
        """The confirmations as a sentence: `11 of 12 targets confirmed; web-2 has not responded,
        retrying`.
        """
        if not self.leases:
            return "Never used, so there was nothing to revoke"
        word = "target" if len(self.leases) == 1 else "targets"
        said = f"{self.gone} of {len(self.leases)} {word} confirmed"
        names = [lease.target.name for lease in self.silent]
        if not names:
            return said
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        failing = any(lease.last_error for lease in self.silent)
        verb = "have" if len(names) > 1 else "has"
        return (
            f"{said}; {shown} {verb} not responded, retrying" if failing else f"{said}; waiting for {shown}"
        )


class LeaseRow(NamedTuple):
    """One target's report about the end: its display style, and the findings."""

    lease: Lease
    look: Look
    said: str

    @property
    def shows_evidence(self) -> bool:
        """Whether the raw evidence is shown."""
        return self.lease.gone_at is not None and not self.said


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of a grant. ``summary`` comes from the record, ``counts`` has the numbers of attempted
    commands.
    """

    grant: Grant
    summary: dict[str, Any]
    proof: Proof
    counts: Counts

    @property
    def ended(self) -> bool:
        """Whether every target confirmed the revocation."""
        return self.grant.state == GrantState.ENDED

    @property
    def look(self) -> Look:
        """The receipt's tone and icon."""
        if not self.ended:
            return Look("warn", "stop", "")
        return Look("bad" if self.grant.end_reason == EndReason.REVOKED else "mute", "check", "")

    @property
    def title(self) -> str | SafeString:
        """The reason for the end, and how quickly the revocation was confirmed."""
        why = capfirst(self.grant.why_ended)
        if not self.ended:
            return format_html("{}, {}", why, ago(self.grant.revoking_at))
        took = self.summary["ended"]["seconds"]
        return f"{why}, confirmed {'immediately' if took < IMMEDIATE else f'in {took:.1f} s'}"

    @property
    def says(self) -> SafeString:
        """The confirmations, the time of the end, and the attempted commands."""
        return format_html("{}. {} {}", self.proof.sentence, self._when, self._tried)

    @property
    def _when(self) -> SafeString:
        if not self.ended:
            return format_html("Revocation started {}. Nothing new can run.", when(self.grant.revoking_at))
        early = self.summary["ended"].get("early_seconds")
        return format_html(
            "Ended {}{}.", when(self.grant.ended_at), f", {rough(early)} early" if early else ""
        )

    @property
    def _tried(self) -> str:
        many = self.counts.by_kind["all"]
        if observed_under(self.grant) == Observed.ALL:
            commands = f"{self.counts['all']} command{'' if many == 1 else 's'} attempted"
            return f"{commands}, {self.counts['refused']} refused, {self.counts['held']} held."
        if self.counts.any:
            statements = f"{self.counts['all']} statement{'' if many == 1 else 's'} seen"
            return f"{statements}. Stint can't observe every statement."
        return "Stint can't observe commands on this kind of cluster."

    @property
    def rows(self) -> list[LeaseRow]:
        """The report of each target."""
        return [self._row(lease) for lease in self.proof.leases]

    def _row(self, lease: Lease) -> LeaseRow:
        if lease.gone_at:
            evidence = lease.evidence or {}
            found, untold = evidence.get("processes_found"), evidence.get("processes_without_mark")
            found = None if found is None else found + evidence.get("processes_of_root_found", 0)
            said = f"{found} found and killed" if found else "none running"
            said = "" if found is None else f"Processes of {self.grant.ref}: {said}."
            if evidence.get("root_proven_by") == "kernel":
                said += " The kernel reports that the cgroups of root's commands are empty."
            if untold:
                said += f" Processes without its mark: {untold}."
            return LeaseRow(lease, Look("ok", "check", "access removed"), said)
        if lease.last_error:
            tried = f"Retrying, {lease.attempts:,} attempt{'' if lease.attempts == 1 else 's'} so far."
            return LeaseRow(lease, Look("bad", "alert", "not confirmed"), f"{lease.last_error} {tried}")
        return LeaseRow(lease, Look("warn", "clock", "not confirmed yet"), "")

    @property
    def untouched(self) -> str:
        """A sentence about the targets with nothing to revoke; empty if there are none."""
        many = self.proof.untouched
        if many <= 0:
            return ""
        other = "other " if self.proof.leases else ""
        what = "run" if observed_under(self.grant) == Observed.ALL else "created"
        return (
            f"Nothing was {what} on {many:,} {other}target{'' if many == 1 else 's'}, so there was nothing to"
            " revoke."
        )

    @property
    def suspensions(self) -> list[SafeString]:
        """Each suspension: when, by whom and why, and when it was resumed."""
        found = []
        for one in self.summary["suspended"]:
            note = f": {one['why']}" if one["why"] else ""
            by = f"by {one['by']}{note}" if one["by"] else f"after {one['why']}"
            resumed = one["resumed_at"] and dt.datetime.fromisoformat(one["resumed_at"])
            then = format_html("; resumed {} by {}", when(resumed), one["resumed_by"]) if resumed else ""
            at = when(dt.datetime.fromisoformat(one["at"]))
            found.append(format_html("{} {}{}", at, by, then))
        return found

    @property
    def allowed(self) -> str:
        """The heading above the grant's commands: `Approved`, unless no one approved the grant."""
        return "Approved" if self.summary["approved"]["by"] else "Allowed"

    @property
    def approvers(self) -> str:
        """The people who approved the grant, with their comments. If no one did, the reason why no approval
        was needed.
        """
        found = [
            f"{one['name']}{': “' + one['comment'] + '”' if one['comment'] else ''}"
            for one in self.summary["approved"]["by"]
        ]
        return ", ".join(found) or self._unapproved

    @property
    def _unapproved(self) -> str:
        if self.grant.break_glass:
            return "no one: break-glass access"
        if self.grant.is_own_incident and self.grant.workflow:
            return f"no one: {self.grant.workflow.ref}, with a review"
        return "the policy (no approval needed)"

    @property
    def refusals(self) -> str:
        """The number of refused commands."""
        many = self.summary["compared"]["refused_times"]
        return f"{many:,} refusal{'' if many == 1 else 's'}"

    @property
    def targets_used(self) -> Sequence[dict[str, Any]]:
        """The targets that were used, each with the number of uses."""
        return [row for row in self.summary["compared"]["targets"] if row["times"]]
