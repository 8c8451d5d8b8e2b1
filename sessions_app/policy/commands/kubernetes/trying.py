"""Derive the requests that kubectl sends for a line, so that a line can be decided before it runs."""

from __future__ import annotations

from collections.abc import Iterator

from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent
from sessions_app.policy.commands.kubernetes.applying import Applies, read_pairs
from sessions_app.policy.commands.kubernetes.checks import Reads
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.commands.kubernetes.options import Line, read_line
from sessions_app.policy.commands.kubernetes.rights import Request
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.things import parse_things


def requests_of(line: str) -> Iterator[tuple[KubeRequest, Sent]]:
    """Yield the requests of a line, in order.

    The requests have no API version, because a line has none. Raises RuleRefused.
    """
    plain = line.removeprefix("kubectl ")
    steps = _applied(plain) if plain.split()[:1] == ["apply"] else parse_line(line, document=False)
    for step in steps:
        for request in step.right.requests():
            yield _rendered(step, request)


def _applied(line: str) -> tuple[Step, ...]:
    """Return the requests of `apply deployment/web -n shop spec.replicas=3`, as grants record an apply."""
    read: Line = read_line(line, document=False)
    pairs = [word for word in read.words[1:] if "=" in word]
    if read.limits or not pairs:
        raise RuleRefused(
            "`apply` needs the fields that it sets, like `apply deployment/web -n shop spec.replicas=3`"
        )
    created = [pair for pair in pairs if pair.startswith("name=")]
    fields = tuple(read_pairs([pair for pair in pairs if pair not in created]))
    steps = []
    for thing in parse_things([word for word in read.words[1:] if word not in pairs]):
        names = ((created[0].removeprefix("name="),),) if created else ()
        check = Applies("", "", fields, names_of=names)
        if not created:
            steps.append(Step(thing.right(read, ("get",)), Reads(), main=False))
        steps.append(Step(thing.right(read, ("create" if created else "patch",)), check, ("apply",)))
    return tuple(steps)


def _rendered(step: Step, request: Request) -> tuple[KubeRequest, Sent]:
    resource, _, subresource = request.resource.partition("/")
    query, sent = step.check.render(request.verb)
    if request.name and request.verb in ("list", "watch"):
        query = (*query, ("fieldSelector", f"metadata.name={request.name}"))
    if request.verb == "watch" and ("watch", "true") not in query:
        query = (*query, ("watch", "true"))
    parts = tuple(filter(None, (resource, request.name, subresource)))
    asked = KubeRequest(
        request.verb,
        request.group,
        "",
        request.namespace,
        resource,
        subresource,
        request.name,
        "",
        parts,
        True,
        query,
    )
    return asked, sent
