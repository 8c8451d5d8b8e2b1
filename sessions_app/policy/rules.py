"""The rules, each a frozen dataclass that answers Permit or Deny. A rule that can't tell denies.

To change one: only add fields with a default; a new meaning is a new rule.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import re2

from sessions_app.policy.decision import Deny, Permit, say_utc
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import BreakGlass, Clause, Incident, WorkNeeded
from sessions_app.policy.starts import begins_at
from sessions_app.policy.windows import Freeze, Window, covering, next_free

SWEEPER_SILENCE = 30.0
START_TOLERANCE = dt.timedelta(minutes=1)
# Of less nobody has any use, in seconds.
_SHORTEST = 60
_INCIDENT = "incident"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked, in facts. ``duration`` in seconds; without ``starts_at`` the time begins with the approval.

    ``incident`` is the reference of the incident that the access is for, empty when none is named; None for access of
    another kind. ``work`` is the reference of the work that is named, whatever it is asked for.
    """

    requester: str
    requester_groups: frozenset[str]
    cluster: str
    command_set: str
    target_count: int
    duration: int
    starts_at: dt.datetime | None
    reason: str
    ticket: str
    break_glass: bool = False
    incident: str | None = None
    work: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is known of the piece of work that is named.

    ``roles`` are those of `assignee`, `member` and `on_call` that the requester has in it; ``silence`` is for how many
    seconds its source has not said that it is open, None for Stint's own; ``own_doing`` that the requester opened it.
    """

    kind: str
    source: str
    severity: str = ""
    roles: frozenset[str] = frozenset()
    silence: float | None = None
    own_doing: bool = False
    starts_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the world, read just before. Unknown values must be given as the refusing ones."""

    now: dt.datetime
    requester_enabled: bool
    may_request: bool
    policy_live: bool
    cluster_live: bool
    command_set_published: bool
    targets_live: bool
    sweeper_silence: float | None
    # Grants for which the requester broke the glass, and that should have been reviewed by now.
    overdue_reviews: tuple[str, ...]
    # For each clause of the policy, how many people could give an approval that counts.
    available: tuple[int, ...]
    # The work that is named: whether it is open, whether it is on the cluster, and the rest of it.
    work_open: bool = False
    work_on_cluster: bool = False
    work: Work | None = None
    # References of open work that the policy would take, to be offered.
    fitting: tuple[str, ...] = ()
    # Whether the command set is of the cluster's kind.
    kinds_fit: bool = False


class Rule(Protocol):
    """Anything with a tag that can verify."""

    tag: ClassVar[str]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        """Answer for one ask, from the facts alone."""
        ...


def _start(ask: Ask, facts: Facts) -> dt.datetime:
    """Return when the time asked for begins: without a start of its own at once, or by itself when the work does."""
    return ask.starts_at or begins_at(facts.now, work=facts.work.starts_at if facts.work else None)


def _before_work(moment: dt.datetime, facts: Facts) -> bool:
    return facts.work is not None and facts.work.starts_at is not None and moment < facts.work.starts_at


@dataclass(frozen=True, slots=True)
class RequesterEnabled:
    """Disabled identities, and machines of disabled owners, get nothing."""

    tag: ClassVar[str] = "requester_enabled"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.requester_enabled:
            return Permit(f"{ask.requester} is enabled.")
        return Deny(f"{ask.requester} is disabled.", "An administrator can enable the identity.")


@dataclass(frozen=True, slots=True)
class MayRequest:
    """Only those to whom the policy or the cluster gives `request`."""

    tag: ClassVar[str] = "may_request"
    policy: str

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.may_request:
            return Permit(f"{ask.requester} may ask under {self.policy}.")
        return Deny(
            f"{ask.requester} may not ask under {self.policy}.",
            "Ask an administrator of the policy to add you or one of your groups.",
        )


@dataclass(frozen=True, slots=True)
class Covers:
    """The policy must name the cluster and the command set, and both must be there."""

    tag: ClassVar[str] = "covers"
    policy: str
    clusters: tuple[str, ...]
    command_sets: tuple[str, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if not facts.policy_live:
            return Deny(f"The policy {self.policy} was removed.", "Ask under another policy.")
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
            return Deny(f"{ask.command_set} has no published version.", "Somebody must publish it first.")
        return Permit(f"{self.policy} covers {ask.command_set} on {ask.cluster}.")


@dataclass(frozen=True, slots=True)
class KindsFit:
    """Commands of one kind mean nothing on a cluster of another."""

    tag: ClassVar[str] = "kinds_fit"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.kinds_fit:
            return Permit(f"{ask.command_set} is of the kind of {ask.cluster}.")
        return Deny(
            f"The commands of {ask.command_set} are for another kind of cluster than {ask.cluster}.",
            "Choose a command set of the cluster's kind.",
        )


@dataclass(frozen=True, slots=True)
class HasTargets:
    """No target listed is no target; a target that is gone voids the ask."""

    tag: ClassVar[str] = "has_targets"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.target_count and facts.targets_live:
            return Permit(
                f"{ask.target_count} target{'s' if ask.target_count != 1 else ''} on {ask.cluster}."
            )
        return Deny(f"{ask.cluster} has no such targets.", "Choose targets that the cluster has now.")


@dataclass(frozen=True, slots=True)
class MaxDuration:
    """No longer than the policy says."""

    tag: ClassVar[str] = "max_duration"
    policy: str
    seconds: int

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        asked, limit = say_duration(ask.duration), say_duration(self.seconds)
        if 0 < ask.duration <= self.seconds:
            return Permit(f"{asked} is within the limit of {limit}.")
        return Deny(f"{asked} is over the limit of {limit}.", f"Make it {limit}.", {"duration": self.seconds})


@dataclass(frozen=True, slots=True)
class Start:
    """Not in the past, and not further ahead than the policy allows."""

    tag: ClassVar[str] = "start"
    horizon: int

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        start = _start(ask, facts)
        if start + START_TOLERANCE < facts.now:
            return Deny("The start is in the past.", "Choose a later start.", {"starts_at": None})
        if start > facts.now + dt.timedelta(seconds=self.horizon):
            # With a start of its own it can come earlier; the work's can't.
            latest = (facts.now + dt.timedelta(seconds=self.horizon)).replace(second=0, microsecond=0)
            return Deny(
                f"The start is more than {say_duration(self.horizon)} ahead.",
                f"Ask again within {say_duration(self.horizon)} of the start.",
                {"starts_at": latest.isoformat()}
                if ask.starts_at and not _before_work(latest, facts)
                else {},
            )
        if ask.starts_at is not None:
            return Permit("Starts at the time asked for.")
        return Permit(
            f"Starts with {ask.work}." if start > facts.now else "Starts as soon as it is approved."
        )


@dataclass(frozen=True, slots=True)
class InWindow:
    """All of the time asked for lies in the policy's windows."""

    tag: ClassVar[str] = "in_window"
    windows: tuple[Window, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        start = _start(ask, facts)
        if covering(self.windows, start, start + dt.timedelta(seconds=ask.duration)):
            return Permit("The time lies in an allowed window.")
        return self._deny(ask, facts)

    def _deny(self, ask: Ask, facts: Facts) -> Deny:
        earliest = begins_at(facts.now, work=facts.work.starts_at if facts.work else None)
        opens, longest = next_free(self.windows, earliest, ask.duration)
        if opens == earliest:
            when = "now" if earliest == facts.now else f"when {ask.work} begins"
            return Deny(
                "The time is not in an allowed window.",
                f"One that is long enough is open {when}.",
                {"starts_at": None},
            )
        if opens is not None:
            return Deny(
                "The time is not in an allowed window.",
                f"The next one that is long enough starts {say_utc(opens)}.",
                {"starts_at": opens.isoformat()},
                (opens,),
            )
        if longest < _SHORTEST:
            return Deny("No allowed window is coming.", "Ask who runs the policy when there will be one.")
        return Deny(
            f"No allowed window is long enough for {say_duration(ask.duration)}.",
            f"The longest is {say_duration(longest)}.",
            {"duration": longest},
        )


@dataclass(frozen=True, slots=True)
class NotFrozen:
    """No planned work in a freeze."""

    tag: ClassVar[str] = "not_frozen"
    freezes: tuple[Freeze, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        start = _start(ask, facts)
        end = start + dt.timedelta(seconds=ask.duration)
        for freeze in self.freezes:
            if freeze.touches(start, end):
                return Deny(
                    f"Frozen until {say_utc(freeze.end)}: {freeze.reason}.",
                    "Start after the freeze.",
                    {"starts_at": freeze.end.isoformat()},
                    (freeze.end,),
                )
        return Permit("No freeze then.")


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason in words where the policy wants one."""

    tag: ClassVar[str] = "reason"
    required: bool

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.reason.strip() or not self.required:
            return Permit("A reason is given." if ask.reason.strip() else "No reason is needed.")
        return Deny("A reason is missing.", "Write in a sentence what you are going to do.")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket of the form that the policy wants."""

    tag: ClassVar[str] = "ticket"
    pattern: str

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if re2.fullmatch(self.pattern, ask.ticket.strip()):
            return Permit(f"Ticket {ask.ticket.strip()} has the right form.")
        wanted = f"Give one that looks like {_sample(self.pattern)}."
        if not ask.ticket.strip():
            return Deny("A ticket is missing.", wanted)
        return Deny(f"“{ask.ticket}” is not a ticket of the wanted form.", wanted)


def _sample(pattern: str) -> str:
    """Return a text of a plain pattern, like `CHG-123` of `(CHG|INC)-[0-9]+`; the pattern itself where it is not plain."""
    first = re.sub(r"[(](?:[?]:)?([^()|]*)[|][^()]*[)]", r"\1", pattern)
    digits = re.compile(r"(?:\[0-9\]|\\d)(?:([+*])|[{]([0-9]+)(?:,[0-9]*)?[}])?")
    text = digits.sub(lambda found: "1234567890"[: 3 if found[1] else int(found[2] or 1)], first)
    return text if re2.fullmatch(pattern, text) else pattern


@dataclass(frozen=True, slots=True)
class SweeperAlive:
    """Nothing new starts while nobody could end it."""

    tag: ClassVar[str] = "sweeper_alive"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.sweeper_silence is not None and facts.sweeper_silence <= SWEEPER_SILENCE:
            return Permit("The processes that end access are running.")
        return Deny(
            "Nothing that ends access has run for 30 seconds, so nothing new may start.",
            "An administrator must start the worker or the SSH gateway.",
        )


@dataclass(frozen=True, slots=True)
class EnoughApprovers:
    """A request that nobody could ever approve is refused at once, with the reason."""

    tag: ClassVar[str] = "enough_approvers"
    clauses: tuple[Clause, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if len(facts.available) != len(self.clauses):
            return Deny("It is not known who could approve.", "Try again.")
        for clause, available in zip(self.clauses, facts.available, strict=True):
            if available < clause.count:
                groups = " or ".join(clause.groups)
                return Deny(
                    f"Needs {clause.count} of {groups}, and only {available} other people are there.",
                    "Ask an administrator to add approvers; your own approval never counts.",
                )
        if not self.clauses:
            return Permit("Needs no approval.")
        needed = sum(clause.count for clause in self.clauses)
        return Permit(f"Needs {needed} approval{'s' if needed != 1 else ''}.")


@dataclass(frozen=True, slots=True)
class MayBreakGlass:
    """Only those whom the policy names, for a short time, with a reason, and with no review overdue."""

    tag: ClassVar[str] = "may_break_glass"
    policy: str
    terms: BreakGlass | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if self.terms is None:
            return Deny(f"{self.policy} does not allow breaking glass.", "Ask for planned access.")
        if not ask.requester_groups.intersection(self.terms.groups):
            return Deny(
                "You are not in a group that may break glass here.",
                "Ask one of: " + ", ".join(self.terms.groups),
            )
        if facts.overdue_reviews:
            them = " and ".join(facts.overdue_reviews)
            return Deny(
                f"You broke the glass for {them}, and the review is overdue.",
                "Have an approver review it first.",
                {"review": list(facts.overdue_reviews)},
            )
        if not ask.reason.strip():
            return Deny("Breaking glass needs a reason.", "Say in a few words what is wrong.")
        if ask.starts_at is not None:
            return Deny("Breaking glass starts at once.", "Leave the start out.", {"starts_at": None})
        return Permit("Starts at once; all approvers are told, and somebody else reviews it.")


@dataclass(frozen=True, slots=True)
class IncidentOpen:
    """Access for an incident is bound to one that is open, and to work of no other kind. What was closed is never open again."""

    tag: ClassVar[str] = "incident_open"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if not ask.incident:
            return Deny("No incident is named.", "Choose the incident that the access is for.")
        if facts.work is not None and facts.work.kind != _INCIDENT:
            return Deny(
                f"{ask.incident} is a {facts.work.kind}, and who is on call gets access for incidents alone.",
                f"Ask for planned work, and name {ask.incident} there.",
            )
        if facts.work_open and facts.work is not None:
            return Permit(f"{ask.incident} is open. The access ends when it is closed.")
        return Deny(
            f"{ask.incident} is not an open incident.",
            "Choose one that is open, or open a new one.",
        )


@dataclass(frozen=True, slots=True)
class IncidentOnCluster:
    """The incident must be on the cluster that is asked for."""

    tag: ClassVar[str] = "incident_on_cluster"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.work_on_cluster:
            return Permit(f"{ask.incident} is on {ask.cluster}.")
        return Deny(
            f"{ask.incident or 'The incident'} is not on {ask.cluster}.",
            f"Choose an incident on {ask.cluster}, or one of the incident's clusters.",
        )


@dataclass(frozen=True, slots=True)
class OnCall:
    """Only those whom the policy puts on call for incidents."""

    tag: ClassVar[str] = "on_call"
    policy: str
    terms: Incident | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if self.terms is None:
            return Deny(f"{self.policy} gives no access for incidents.", "Ask for planned access.")
        if ask.requester_groups.intersection(self.terms.on_call):
            return Permit(f"{ask.requester} is on call.")
        return Deny(
            f"{ask.requester} is not on call under {self.policy}.",
            "Ask one of: " + ", ".join(self.terms.on_call),
        )


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Access for an incident is for now, so it has no start of its own."""

    tag: ClassVar[str] = "at_once"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.starts_at is None:
            return Permit("Starts at once; windows and freezes do not hold an incident up.")
        return Deny("Access for an incident starts at once.", "Leave the start out.", {"starts_at": None})


@dataclass(frozen=True, slots=True)
class WorkOpen:
    """Access that names a piece of work is bound to one that is open. What was closed is never open again."""

    tag: ClassVar[str] = "work_open"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.work and facts.work_open:
            return Permit(f"{ask.work} is open. The access ends when it is closed.")
        return Deny(f"{ask.work or 'The work'} is not open.", "Name work that is open.")


@dataclass(frozen=True, slots=True)
class WorkOnCluster:
    """The work must be on the cluster that is asked for."""

    tag: ClassVar[str] = "work_on_cluster"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.work_on_cluster:
            return Permit(f"{ask.work} is on {ask.cluster}.")
        return Deny(
            f"{ask.work or 'The work'} is not on {ask.cluster}.",
            f"Name work on {ask.cluster}, or choose one of the work's clusters.",
        )


@dataclass(frozen=True, slots=True)
class WorkFits:
    """The work must be of a kind, a source and a severity that the policy wants."""

    tag: ClassVar[str] = "work_fits"
    policy: str
    terms: WorkNeeded

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        kinds = " or ".join(self.terms.kinds)
        if facts.work is None:
            return Deny(
                f"{self.policy} gives access for work alone, and none is named.",
                f"Name an open {kinds}.",
                _offered(facts),
            )
        wrong = self._wrong(facts.work)
        if wrong:
            return Deny(f"{ask.work} {wrong}.", f"{self.policy} wants {self._wanted()}.", _offered(facts))
        return Permit(f"{ask.work} is work of the kind that {self.policy} wants.")

    def _wrong(self, work: Work) -> str:
        terms = self.terms
        if work.kind not in terms.kinds:
            return f"is of the kind {work.kind}"
        if terms.sources is not None and work.source not in terms.sources:
            return f"is kept by {work.source}"
        if terms.severity is not None and work.severity not in terms.severity:
            return f"has the severity {work.severity}" if work.severity else "has no severity"
        return ""

    def _wanted(self) -> str:
        terms = self.terms
        parts = ["an open " + " or ".join(terms.kinds)]
        if terms.severity is not None:
            parts.append("with the severity " + " or ".join(terms.severity))
        if terms.sources is not None:
            parts.append("kept by " + " or ".join(terms.sources))
        return " ".join(parts)


def _offered(facts: Facts) -> dict[str, Any]:
    return {"workflow": list(facts.fitting)} if facts.fitting else {}


@dataclass(frozen=True, slots=True)
class PartInWork:
    """The requester must have the part in the work that the policy wants."""

    tag: ClassVar[str] = "part_in_work"
    part: str

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        said = _PARTS.get(self.part, "")
        if facts.work is not None and said and self.part in facts.work.roles:
            return Permit(f"{ask.requester} is {said} {ask.work}.")
        return Deny(
            f"{ask.requester} is not {said} {ask.work or 'the work'}.",
            "Somebody who is can ask, or its source must say that you are.",
        )


_PARTS = {"assignee": "assigned to", "member": "a member of", "on_call": "on call for"}


@dataclass(frozen=True, slots=True)
class WorkFresh:
    """Work whose source has not been heard for too long counts as closed."""

    tag: ClassVar[str] = "work_fresh"
    staleness: int

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.work is None:
            return Deny("It is not known which work this is.", "Name work that is open.")
        silence = facts.work.silence
        if silence is None or silence <= self.staleness:
            return Permit(f"It is known how {ask.work} stands.")
        return Deny(
            f"{ask.work} could not be read for {say_duration(int(silence))}, so it counts as closed.",
            f"Ask again when {facts.work.source} answers.",
        )


@dataclass(frozen=True, slots=True)
class WithinWork:
    """Access for work with a planned time lies in that time."""

    tag: ClassVar[str] = "within_work"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.work is None:
            return Deny("It is not known which work this is.", "Name work that is open.")
        opens, closes = facts.work.starts_at, facts.work.ends_at
        start = _start(ask, facts)
        if opens is not None and start < opens:
            return Deny(
                f"{ask.work} begins {say_utc(opens)}.",
                "Start with it, or leave the start out.",
                {"starts_at": None},
                (opens,),
            )
        if closes is None:
            return Permit(
                f"{ask.work} has no planned end." if opens is None else f"Starts no earlier than {ask.work}."
            )
        left = int((closes - start).total_seconds())
        if left <= 0:
            return Deny(f"The planned time of {ask.work} is over.", "Plan it anew, and ask again.")
        if ask.duration > left:
            return Deny(
                f"It would outlast {ask.work}, which ends {say_utc(closes)}.",
                f"Make it {say_duration(left)}.",
                {"duration": left},
                (closes,),
            )
        return Permit(f"The time lies in that of {ask.work}.")
