"""A new request, as typed into a form or prefilled by a link or an earlier request. Invalid input is kept as
typed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone

from sessions_app.models import AccessRequest, RequestKind
from sessions_app.operations.requests.check_request import NewRequest
from sessions_app.policy.durations import parse_duration, show_duration
from sessions_app.web.forms.times import parse_start, typed_duration

KINDS = (RequestKind.PLANNED, RequestKind.INCIDENT, RequestKind.QUICK, RequestKind.BREAK_GLASS)
PARAMETER = "p."


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A request that isn't submitted yet. All values are strings as typed.

    If ``targets`` is None, all targets of the cluster are meant. ``incident`` is the reference of the
    selected workflow of any kind; ``other_workflow`` is a typed reference instead. ``find`` is the text to
    search clusters for.
    """

    kind: str = RequestKind.PLANNED
    cluster: str = ""
    find: str = ""
    command_set: str = ""
    policy: str = ""
    duration: str = ""
    day: str = ""
    hour: str = ""
    ticket: str = ""
    reason: str = ""
    incident: str = ""
    other_workflow: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] | None = None

    @property
    def seconds(self) -> int:
        """The duration in seconds; 0 if the text is not a duration."""
        try:
            return parse_duration(self.duration)
        except ValueError:
            return 0

    @property
    def workflow(self) -> str:
        """The reference of the request's workflow."""
        return self.other_workflow or self.incident

    @property
    def starts_later(self) -> bool:
        """Whether the draft has a start time and is of a kind that allows one."""
        return self.kind == RequestKind.PLANNED and bool(self.day)

    def new_request(self) -> NewRequest:
        """Return the request. Raises InvalidInput for invalid values."""
        return NewRequest(
            cluster=self.cluster,
            command_set=self.command_set,
            policy=self.policy or None,
            duration=typed_duration(self.duration),
            starts_at=parse_start(self.day, self.hour) if self.kind == RequestKind.PLANNED else None,
            reason=self.reason,
            ticket=self.ticket,
            parameters={name: value for name, value in self.parameters.items() if value},
            targets=self.targets,
            kind=self.kind,
            workflow=self.workflow or None,
        )

    def as_query(self) -> str:
        """Return the query string that prefills the form with this draft."""
        start = f"{self.day}T{self.hour}" if self.starts_later and self.hour else ""
        values: dict[str, str | tuple[str, ...]] = {
            "kind": self.kind,
            "cluster": self.cluster,
            "set": self.command_set,
            "policy": self.policy,
            "for": self.duration,
            "start": start,
            "ticket": self.ticket,
            "reason": self.reason,
            "workflow": self.workflow,
            "target": self.targets or (),
            **{f"{PARAMETER}{name}": value for name, value in self.parameters.items()},
        }
        return urlencode({name: value for name, value in values.items() if value}, doseq=True)

    def applied(self, offer: str) -> Draft:
        """Return the draft with the fix that a rule suggests: `duration=14400`, `workflow=CHG-7`,
        `starts_at=2026-11-28T01:00:00+00:00`.
        """
        name, _, value = offer.partition("=")
        if name == "duration" and value.isdecimal():
            return replace(self, duration=show_duration(int(value)))
        if name == "workflow":
            return replace(self, incident=value, other_workflow="")
        if name == "starts_at":
            try:
                start = timezone.localtime(dt.datetime.fromisoformat(value)) if value else None
            except (ValueError, OverflowError):
                return self
            return replace(
                self, day=f"{start:%Y-%m-%d}" if start else "", hour=f"{start:%H:%M}" if start else ""
            )
        return self


def draft_of_form(data: QueryDict) -> Draft:
    """Return the draft in a submitted form."""
    return Draft(
        kind=_kind(data.get("kind", "")),
        cluster=data.get("cluster", ""),
        # After another cluster is selected, the search is cleared.
        find=data.get("find_cluster", "").strip()
        if data.get("cluster", "") == data.get("shown_cluster", "")
        else "",
        command_set=data.get("command_set", ""),
        policy=data.get("policy", ""),
        duration=data.get("other_duration", "").strip() or data.get("duration", ""),
        day=data.get("day", ""),
        hour=data.get("hour", ""),
        ticket=data.get("ticket", ""),
        reason=data.get("reason", ""),
        incident=data.get("incident", ""),
        other_workflow=data.get("other_workflow", "").strip(),
        parameters={
            name.removeprefix(PARAMETER): data.get(name, "") for name in data if name.startswith(PARAMETER)
        },
        targets=tuple(data.getlist("target")) if data.get("targets_of") == data.get("cluster") else None,
    )


def draft_of_link(query: QueryDict) -> Draft:
    """Return the draft encoded in a link: `?cluster=&set=&for=&ticket=&target=&kind=&workflow=`, and
    `p.NAME=` for parameters. Links in refusals by the API and the gateways use `command_set=`, as the API
    does.
    """
    start = query.get("start", "")
    draft = Draft(
        kind=_kind(query.get("kind", "")),
        cluster=query.get("cluster", ""),
        command_set=query.get("set", "") or query.get("command_set", ""),
        policy=query.get("policy", ""),
        duration=query.get("for", ""),
        ticket=query.get("ticket", ""),
        reason=query.get("reason", ""),
        incident=query.get("workflow", "") or query.get("incident", ""),
        parameters={
            name.removeprefix(PARAMETER): query.get(name, "") for name in query if name.startswith(PARAMETER)
        },
        targets=tuple(query.getlist("target")) or None,
    )
    return draft.applied(f"starts_at={start}") if start else draft


def draft_of_request(request: AccessRequest, targets: Iterable[str]) -> Draft:
    """Return a draft that repeats a request without its start time, on those of its targets that still
    exist.
    """
    kind = request.extends.request.kind if request.extends else request.kind
    return Draft(
        kind=_kind(kind),
        cluster=request.cluster.name,
        command_set=request.command_set_version.command_set.name,
        duration=show_duration(request.duration),
        ticket=request.ticket,
        reason=request.reason,
        incident=request.workflow.ref if request.workflow else "",
        parameters=dict(request.parameters),
        targets=tuple(targets) or None,
    )


def _kind(text: str) -> str:
    return text if text in KINDS else RequestKind.PLANNED
