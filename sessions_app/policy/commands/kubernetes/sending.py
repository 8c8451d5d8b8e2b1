"""Lines that consist of a single request, which Stint can send without a client like kubectl."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent, read_request
from sessions_app.policy.commands.kubernetes.bodies import MERGE, STRATEGIC, build_body
from sessions_app.policy.commands.kubernetes.checks import Check, Logs, Reads, Writes
from sessions_app.policy.commands.kubernetes.deleting import Deletes
from sessions_app.policy.commands.kubernetes.entering import Enters
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.commands.kubernetes.rights import Request
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.undoing import Undoes, put_back
from sessions_app.policy.commands.kubernetes.wants import Count, Moment

_METHODS = {"get": "GET", "list": "GET", "patch": "PATCH", "delete": "DELETE"}
SEVERAL = "it needs more than one request, or one that Stint can't send itself: use kubectl"


@dataclass(frozen=True, slots=True)
class Sending:
    """The single request that runs a line.

    `group` and `place` form the request's path once the version is known. The content of a `rollout undo` is
    known only after the revisions are read.
    """

    method: str
    group: str
    place: str
    query: str
    sent: Sent
    check: Check

    def sent_to(
        self, target: Mapping[str, Any] | None, history: Sequence[Mapping[str, Any]], unread: str
    ) -> Sent:
        """Return the request with the data that was read from the existing object. Raises RuleRefused."""
        if isinstance(self.check, Undoes) and target is not None:
            return put_back(self.check.plural, target, history)
        return replace(self.sent, target=target, history=tuple(history), unread=unread)

    def path(self, version: str) -> str:
        """Return the request's path for one version of its group."""
        return f"/apis/{self.group}/{version}{self.place}" if self.group else f"/api/{version}{self.place}"

    def request(self, version: str) -> KubeRequest:
        """Return the request as the API server reads it. Raises RuleRefused."""
        return read_request(self.method, self.path(version), self.query)


def sent_alone(steps: tuple[Step, ...]) -> Step | None:
    """Return a command's only step if its run is a single request that its line describes in full; None
    otherwise.
    """
    main = [step for step in steps if step.main]
    return main[0] if len(main) == 1 and _is_one(main[0]) else None


def _is_one(step: Step) -> bool:
    right, check = step.right, step.check
    lists = (right.names, right.namespaces, right.groups, right.resources, right.asked)
    if any(len(one) > 1 for one in lists) or not (right.names or right.asked == ("list",)):
        return False
    if isinstance(check, Writes):
        # Without a number in the line, the number of replicas is unknown.
        return not any(isinstance(one.want, Count) for one in check.fields)
    if isinstance(check, Enters):
        return bool(check.words)
    return (isinstance(check, Reads) and step.says == ("get",)) or isinstance(check, Deletes | Logs | Undoes)


def sending_of(line: str, now: dt.datetime) -> Sending:
    """Return the request that a line sends now. Raises RuleRefused for a line that can't be parsed, or that
    is more than one request.
    """
    step = sent_alone(parse_line(line, document=False))
    if step is None:
        raise RuleRefused(SEVERAL)
    (request,) = step.right.requests()
    query, sent = step.check.render(request.verb)
    if isinstance(step.check, Writes):
        sent = _patch(step.check, now)
    return Sending(
        _METHODS[request.verb],
        request.group,
        _place(request),
        urlencode(query, quote_via=quote),
        sent,
        step.check,
    )


def _place(request: Request) -> str:
    resource, _, sub = request.resource.partition("/")
    where = f"/namespaces/{request.namespace}" if request.namespace else ""
    return where + "".join(f"/{part}" for part in (resource, request.name, sub) if part)


def _patch(check: Writes, now: dt.datetime) -> Sent:
    stamp = now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    values: dict[tuple[str, ...], Any] = {
        one.path: stamp if isinstance(one.want, Moment) else one.want.sample() for one in check.fields
    }
    # Only a strategic merge patch merges lists by name, and custom resources don't support it.
    keyed = any("containers" in path for path in values)
    return Sent(STRATEGIC if keyed else MERGE, build_body(values))
