"""The top of a request's page: the facts that an approver must see before deciding, and the titles of
the sections below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sessions_app.models import RequestKind
from sessions_app.operations.catalog.publish_command_set import accepted_findings
from sessions_app.web.display.states import RISK, UNKNOWN, WORKFLOW, Look, plural
from sessions_app.web.requests.request_facts import RequestFacts

ROOT = "root"
# A longer reason is collapsed and opens with a click.
MOST_WORDS, MOST_LETTERS, MOST_LINES = 32, 220, 4
MOST_NAMES = 2


@dataclass(frozen=True, slots=True)
class Brief:
    """The top of a request's page, and the summaries of the sections below."""

    facts: RequestFacts

    @property
    def badges(self) -> list[Look]:
        """Badges for the request's dangers, then for its purpose and its cluster."""
        return [*self._dangers(), *self._place()]

    def _dangers(self) -> Iterator[Look]:
        facts, asked = self.facts, self.facts.request
        if asked.kind == RequestKind.BREAK_GLASS or (asked.extends and asked.extends.break_glass):
            yield Look("glass", "flame", "Break-glass")
        risk = RISK.get(asked.command_set_version.document["risk"], UNKNOWN)
        yield risk._replace(word=f"{risk.word} risk")
        if self._as_root:
            yield Look("bad", "alert", "as root")
        if facts.destructive:
            yield Look("bad", "alert", f"{facts.destructive:,} destructive")
        if accepted := len(accepted_findings(asked.command_set_version)):
            yield Look("warn", "alert", plural(accepted, "accepted warning"))
        if facts.direct:
            yield Look("warn", "key", "Direct credential")
        behind = facts.behind
        if behind and behind.planned and not behind.covers:
            yield Look("warn", "clock", f"Outside {behind.workflow.ref}")

    def _place(self) -> Iterator[Look]:
        asked = self.facts.request
        for account in self.facts.accounts:
            if account != ROOT:
                yield Look("mute", "key", f"as {account}")
        yield Look("mute", "cluster", asked.cluster.get_environment_display())
        if asked.workflow:
            look = WORKFLOW.get(asked.workflow.kind, UNKNOWN)
            yield look._replace(word=" ".join(filter(None, (asked.workflow.ref, asked.workflow.severity))))
        elif asked.ticket:
            yield Look("mute", "ticket", asked.ticket[:40])

    @property
    def _as_root(self) -> bool:
        return ROOT in self.facts.accounts or any(line.view.as_root for line in self.facts.kept)

    @property
    def reason(self) -> str:
        """The beginning of the reason, on one line."""
        words = self.facts.request.reason.split()
        text = " ".join(words[:MOST_WORDS])
        return f"{text[:MOST_LETTERS].rstrip(' .,;')}…"

    @property
    def rest(self) -> bool:
        """Whether the reason is too long to show in full."""
        whole = self.facts.request.reason
        return (
            len(whole) > MOST_LETTERS
            or len(whole.split()) > MOST_WORDS
            or whole.strip().count("\n") >= MOST_LINES
        )

    @property
    def others(self) -> str:
        """A sentence about who else has access during the requested time; empty if no one does."""
        names = list(dict.fromkeys(str(grant.holder) for grant in self.facts.overlapping))
        if not names:
            return ""
        more = len(names) - MOST_NAMES
        said = [*names[:MOST_NAMES], plural(more, "other")] if more > 0 else names
        verb = "has" if len(names) == 1 else "have"
        listed = " and ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else said[0]
        return f"{listed} also {verb} access to {self.facts.request.cluster} at that time."

    @property
    def commands(self) -> str:
        """The number of commands."""
        return plural(len(self.facts.kept), "command")

    @property
    def about_commands(self) -> str:
        """How many commands are destructive, new to the requester, or excluded."""
        kept, facts = self.facts.kept, self.facts
        new = sum(1 for line in kept if not line.has_already)
        counts = (
            (facts.destructive, f"{facts.destructive:,} destructive"),
            (0 < new < len(kept), f"{new:,} new"),
            (not new, "nothing new"),
            (len(facts.lines) > len(kept), f"{len(facts.lines) - len(kept):,} excluded"),
        )
        return " · ".join(said for count, said in counts if count)

    @property
    def targets(self) -> str:
        """The number of targets."""
        return plural(len(self.facts.kept_targets), "target")

    @property
    def about_targets(self) -> str:
        """How many of the cluster's targets are requested, and the accounts that run commands."""
        kept, every = len(self.facts.kept_targets), self.facts.all_targets
        part = f"all of {self.facts.request.cluster}" if kept == every else f"of {every:,}"
        accounts = ", ".join(self.facts.accounts)
        return f"{part} · as {accounts}" if accounts else part

    @property
    def overlaps(self) -> str:
        """The number of other people's grants at the requested time."""
        return plural(len(self.facts.overlapping), "overlap") if self.facts.overlapping else "No overlaps"

    @property
    def about_context(self) -> str:
        """The open incidents, and the requester's past access on the cluster."""
        past = self.facts.past
        before = plural(past.grants, "grant") if past.grants else "no grants"
        refused = f", {past.refused:,} refused" if past.refused else ""
        incidents = plural(len(self.facts.incidents), "open incident") if self.facts.incidents else ""
        return " · ".join(filter(None, (incidents, f"{before} in 90 days{refused}")))
