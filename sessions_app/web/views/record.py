"""The record, and finding things."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.audit.queries import entries, latest_verification
from sessions_app.models import Grant, Workflow
from sessions_app.queries.record import visible_entries
from sessions_app.web.doors import page, who
from sessions_app.web.reads.entries import FAMILIES, filtered
from sessions_app.web.reads.pages import page_of
from sessions_app.web.reads.search import exact, search

MAX_QUERY = 100


@page()
def record(request: HttpRequest) -> HttpResponse:
    """The entries about what the reader may see, the latest first."""
    asked = {
        name: request.GET.get(name, "").strip()[:MAX_QUERY]
        for name in ("event", "actor", "object", "since", "until")
    }
    found = filtered(
        visible_entries(entries(), who(request)), event=asked["event"], actor=asked["actor"], about=asked["object"],
        since=asked["since"], until=asked["until"],
    )  # fmt: skip
    context = {
        "page": page_of(found, key="seq", before=request.GET.get("before", "")),
        "asked": asked,
        "families": FAMILIES,
        "verification": latest_verification(),
    }
    return render(request, "audit/record.html", context)


@page()
def find(request: HttpRequest) -> HttpResponse:
    """Go to the request, grant or incident with that reference, or list what fits."""
    text = request.GET.get("q", "").replace("\0", "").strip()[:MAX_QUERY]
    hit = exact(who(request), text)
    if hit is not None:
        names = {Grant: "grant", Workflow: "incident"}
        return redirect(names.get(type(hit), "request"), hit.ref)
    return render(
        request, "ui/search.html", {"q": text, "found": search(who(request), text) if text else None}
    )
