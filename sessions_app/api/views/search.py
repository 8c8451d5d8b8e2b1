"""Search for objects by part of their names."""

from __future__ import annotations

from collections.abc import Iterator

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Identity
from broker.kernel import clock
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import OfSearch
from sessions_app.api.schema import described
from sessions_app.api.shapes.search import FoundShape, HitShape
from sessions_app.models import AccessRequest, CommandRun, Grant, Workflow
from sessions_app.queries.search import Command, Found, exact, search


class Search(Endpoint):
    """Searches everything that the caller can see."""

    @described(FoundShape, query=OfSearch)
    def get(self, request: Request) -> Response:
        """Search what you can see: names, people, commands, tickets, references. Returns at most ten of each
        kind, exact references first.
        """
        text = self.query(OfSearch)["q"].strip()
        hits = list(_hits(self.identity, text)) if text else []
        return self.answer(FoundShape, {"results": hits})


def _hits(identity: Identity, text: str) -> Iterator[dict[str, str]]:
    hit = exact(identity, text)
    if hit is not None:
        yield _named(hit)
    for thing in _things(search(identity, text, clock.now())):
        if thing != hit:
            yield _named(thing)


def _things(found: Found) -> Iterator[object]:
    yield from found.requests
    yield from found.grants
    yield from found.workflows
    yield from found.clusters
    yield from found.command_sets
    yield from found.policies
    yield from found.people
    yield from found.commands
    yield from found.runs


def _named(thing: object) -> dict[str, str]:
    if isinstance(thing, AccessRequest | Grant):
        who = thing.requester if isinstance(thing, AccessRequest) else thing.holder
        about = f"{who.username}: {thing.command_set_version.command_set.name} on {thing.cluster.name}"
        kind = "request" if isinstance(thing, AccessRequest) else "grant"
        return {"kind": kind, "name": thing.ref, "about": about}
    if isinstance(thing, Workflow):
        return {"kind": "workflow", "name": thing.ref, "about": thing.title}
    if isinstance(thing, Command):
        return {"kind": "command", "name": thing.command_set.name, "about": thing.text}
    if isinstance(thing, CommandRun):
        about = f"{thing.grant.holder.username} on {thing.target.name}: {thing.line[:200]}"
        return {"kind": "run", "name": thing.grant.ref, "about": about}
    if isinstance(thing, Identity):
        return {"kind": "identity", "name": thing.username, "about": thing.name}
    return {
        "kind": HitShape.KINDS[type(thing).__name__],
        "name": thing.name,  # type: ignore[attr-defined]  # clusters, command sets and policies have one
        "about": getattr(thing, "summary", ""),
    }
