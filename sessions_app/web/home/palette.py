"""The command palette: search results and guides, for keyboard users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse

from accounts.models import Identity
from broker.kernel import clock
from sessions_app.models import AccessRequest, Grant, Workflow
from sessions_app.queries.search import Found, exact, search
from sessions_app.web.docs.guides_page import search_guides
from sessions_app.web.layout.views import page, who

LONGEST = 100
# The maximum number of results of each kind, and of characters in a label.
FEW, LONGEST_LABEL = 5, 120


@dataclass(frozen=True, slots=True)
class Item:
    """One result: its name, kind, icon and address. ``code`` means that the name is a command line."""

    label: str
    detail: str
    icon: str
    url: str
    code: bool = False


@page()
def palette(request: HttpRequest) -> HttpResponse:
    """Return the visible items that match the typed text, in groups, as JSON. An exact match of a reference
    comes first.
    """
    text = request.GET.get("q", "").strip()[:LONGEST]
    groups = _groups(who(request), text) if text else ()
    return JsonResponse(
        {
            "groups": [
                {"title": title, "exact": title == EXACT, "items": [asdict(one) for one in items]}
                for title, items in groups
            ]
        }
    )


EXACT = "Open"


def _groups(reader: Identity, text: str) -> Iterator[tuple[str, list[Item]]]:
    hit = exact(reader, text)
    opens = [_exact(hit)] if hit is not None else []
    if opens:
        yield EXACT, opens
    found = search(reader, text, clock.now(), runs=False)
    for title, items in (
        ("Clusters", [_named("cluster", "cluster", one.name, "cluster") for one in found.clusters]),
        ("People and machines", _people(found)),
        ("Requests", [_request(one) for one in found.requests]),
        ("Grants", [_grant(one) for one in found.grants]),
        ("Workflows", [_workflow(one) for one in found.workflows]),
        ("Commands", list(_commands(found))),
        ("Policies", [_named("policy", "policy", one.name, "policy") for one in found.policies]),
        ("Guides", list(_guides(text))),
    ):
        others = [one for one in items if one not in opens]
        if others:
            yield title, others[:FEW]


def _exact(hit: AccessRequest | Grant | Workflow) -> Item:
    if isinstance(hit, Grant):
        return _grant(hit)
    return _workflow(hit) if isinstance(hit, Workflow) else _request(hit)


def _named(page_name: str, icon: str, name: str, detail: str) -> Item:
    return Item(name, detail, icon, reverse(page_name, args=[name]))


def _people(found: Found) -> list[Item]:
    return [
        Item(
            str(one),
            one.username,
            "people" if one.is_person else "robot",
            reverse("person", args=[one.username]),
        )
        for one in found.people
    ]


def _request(one: AccessRequest) -> Item:
    detail = f"{one.requester}, {one.command_set_version.command_set} on {one.cluster}"
    return Item(one.ref, detail, "ticket", reverse("request", args=[one.ref]))


def _grant(one: Grant) -> Item:
    detail = f"{one.holder}, {one.command_set_version.command_set} on {one.cluster}"
    return Item(one.ref, detail, "term", reverse("grant", args=[one.ref]))


def _workflow(one: Workflow) -> Item:
    return Item(
        one.ref,
        one.title[:LONGEST_LABEL],
        "flame" if one.kind == "incident" else "clock",
        reverse("incident", args=[one.ref]),
    )


def _commands(found: Found) -> Iterator[Item]:
    """Yield the command sets whose names match, then command lines, without repeating a line of a command
    set.
    """
    for one in found.command_sets:
        yield _named("command_set", "cmd", one.name, "command set")
    for listed in found.commands:
        name = listed.command_set.name
        yield Item(listed.text[:LONGEST_LABEL], name, "cmd", reverse("command_set", args=[name]), code=True)


def _guides(text: str) -> Iterable[Item]:
    """Yield the matching sections of guides, one for each page."""
    seen = set()
    for one in search_guides(text):
        if one.url not in seen:
            seen.add(one.url)
            title = one.guide.title
            yield Item(one.section.title or title, title, "book", one.url)
