"""The command sets that can be requested on a cluster, with the approvals that each of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from django.db.models import F

from sessions_app.connectors.registry import commands_of
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandSetVersion,
    RequestKind,
    RequestState,
)
from sessions_app.policy.case import clauses_for
from sessions_app.policy.durations import say_duration
from sessions_app.web.requests.terms import Terms

# For the typical time to a decision: how many recent requests to examine, and the maximum and minimum number
# of decisions to use.
RECENT, DECIDED, FEWEST = 2000, 50, 3


@dataclass(frozen=True, slots=True)
class SetOption:
    """A requestable command set, with its terms under the policy that needs the fewest approvals."""

    name: str
    summary: str
    size: int
    destructive: int
    approvals: int
    longest: int
    policies: tuple[str, ...]

    @property
    def about(self) -> str:
        """The description: `Restart web services. 5 commands, 1 destructive`."""
        commands = f"{self.size:,} command{'' if self.size == 1 else 's'}"
        return f"{self.summary}. {commands}{f', {self.destructive} destructive' if self.destructive else ''}"

    @property
    def price(self) -> str:
        """The approvals that the command set needs, and its longest duration: `2 approvals, up to 4 h`."""
        many = (
            f"{self.approvals} approval{'s' if self.approvals != 1 else ''}"
            if self.approvals
            else "no approval"
        )
        return f"{many}, up to {say_duration(self.longest)}"


def sets_on(terms: Sequence[Terms], cluster: Cluster, kind: str) -> list[SetOption]:
    found: dict[str, SetOption] = {}
    fitting = commands_of(cluster.kind)
    for one in terms:
        if cluster not in one.clusters:
            continue
        for version in one.versions:
            if version.document["kind"] != fitting:
                continue
            option = _option(version, one, kind)
            earlier = found.get(option.name)
            cheaper = earlier is None or option.approvals < earlier.approvals
            names = (*(earlier.policies if earlier else ()), one.name)
            found[option.name] = replace(option if cheaper or earlier is None else earlier, policies=names)
    return sorted(found.values(), key=lambda option: (option.approvals, option.name))


def _option(version: CommandSetVersion, terms: Terms, kind: str) -> SetOption:
    limits = {
        RequestKind.BREAK_GLASS: terms.document.break_glass,
        RequestKind.INCIDENT: terms.document.incident,
    }
    limit = limits.get(RequestKind(kind)) or terms.document
    workflow = terms.document.workflow
    clauses = clauses_for(
        terms.document,
        break_glass=kind == RequestKind.BREAK_GLASS,
        incident=kind == RequestKind.INCIDENT,
        vouched=workflow is not None and workflow.approvals == "none",
    )
    listed = version.document.get("commands", [])
    return SetOption(
        name=version.document["name"],
        summary=version.document["summary"],
        size=len(listed),
        destructive=sum(1 for command in listed if command.get("effect") == "destructive"),
        approvals=sum(clause.count for clause in clauses),
        longest=limit.max_duration,
        policies=(terms.name,),
    )


def usual_wait(policy: AccessPolicy) -> int | None:
    """Return the median time in seconds of the last 50 decisions by people under the policy; None if there
    are too few.
    """
    recent = AccessRequest.objects.order_by("-number").values("pk")[:RECENT]
    rows = (
        AccessRequest.objects.filter(pk__in=recent, policy=policy, decided_at__gt=F("created_at"))
        .filter(state__in=[RequestState.APPROVED, RequestState.DENIED])
        .order_by("-number")
        .values_list("created_at", "decided_at")[:DECIDED]
    )
    waits = [int((decided - asked).total_seconds()) for asked, decided in rows if decided]
    return int(median(waits)) if len(waits) >= FEWEST else None
