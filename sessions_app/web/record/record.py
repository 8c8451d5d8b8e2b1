"""Views for the record, and for the search for requests, grants and workflows."""

from __future__ import annotations

from dataclasses import fields

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from broker.audit.verify import Verdict
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import BookmarkPage, Grant, Workflow
from sessions_app.operations.record.verify_record import CheckpointsUnreadable, verify_record
from sessions_app.operations.requests.delete_bookmark import delete_bookmark
from sessions_app.operations.requests.save_bookmark import save_bookmark
from sessions_app.queries.search import exact, search
from sessions_app.web.layout.downloads import csv_file, json_file
from sessions_app.web.layout.frame import frame_of
from sessions_app.web.layout.views import ACT, page, said, who
from sessions_app.web.record import record_page as reads
from sessions_app.web.record.integrity import integrity
from sessions_app.web.record.record_days import days
from sessions_app.web.record.record_page import Question

MAX_QUERY = 100


@page()
def record(request: HttpRequest) -> HttpResponseBase:
    """List the entries that the reader can see, latest first, as a page or as a file."""
    question = _question(request.GET)
    me, now = who(request), clock.now()
    wanted = request.GET.get("format")
    if wanted == "csv":
        return csv_file("record.csv", reads.COLUMNS, reads.lines(reads.exported(question, me, now)))
    if wanted == "json":
        return json_file("record.jsonl", map(reads.as_json, reads.exported(question, me, now)))
    return _record(request, question)


def _record(request: HttpRequest, question: Question, error: StintError | None = None) -> HttpResponse:
    me, now = who(request), clock.now()
    found = reads.answer(question, me, now, _before(request.GET.get("before", "")))
    context = {
        "page": found,
        "days": days(found.rows, me, now),
        "asked": question,
        "chips": reads.chips(question),
        "families": reads.EVENTS,
        "types": reads.OBJECTS,
        "saved": reads.saved_by(me),
        "everybodys": reads.everybodys(now),
        "integrity": integrity(frame_of(request).standing.seen),
        "may_verify": me.is_superuser,
        "heading": "Matching entries, latest first" if question.filters() else "Entries, latest first",
        "error": error,
        "name": request.POST.get("name", ""),
    }
    return render(request, "record/record.html", context, status=error.status if error else 200)


def _question(query: QueryDict) -> Question:
    """Return the search described by an address's query string."""
    return Question(
        **{
            field.name: query.get(field.name, "").replace("\0", "").strip()[:MAX_QUERY]
            for field in fields(Question)
        }
    )


def _before(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 else None


@page(ACT)
def save(request: HttpRequest) -> HttpResponseBase:
    """Save a search under a name."""
    question = _question(QueryDict(request.POST.get("query", "")[:4000]))
    try:
        saved = save_bookmark(
            identity=who(request),
            page=BookmarkPage.RECORD,
            name=request.POST.get("name", ""),
            query=question.query,
            now=clock.now(),
        )
    except StintError as error:
        return _record(request, question, error)
    messages.success(request, f"Saved the search “{saved.name}”.")
    return redirect(f"{reverse('record')}?{question.query}")


@page(ACT)
def delete_question(request: HttpRequest, bookmark: int) -> HttpResponse:
    """Delete a saved search."""
    delete_bookmark(bookmark_id=bookmark, identity=who(request))
    messages.success(request, "Search deleted.")
    return redirect("record")


@page(ACT)
def verify(request: HttpRequest) -> HttpResponse:
    """Verify the entries after the last verified one now, and let the worker verify the entire record."""
    try:
        verdict = verify_record(actor=who(request), now=clock.now())
    except CheckpointsUnreadable as error:
        return said(request, error)
    text = _said(verdict)
    (messages.success if verdict is None or verdict.ok else messages.error)(request, text)
    return redirect("record")


def _said(verdict: Verdict | None) -> str:
    if verdict is None:
        return "The worker is verifying the whole record. Reload this page in a moment."
    if not verdict.ok:
        return f"Record broken at entry {verdict.first_bad_seq or 0:,}. {verdict.detail}"
    first = verdict.head_seq - verdict.entries + 1
    new = (
        f"Entries {first:,} to {verdict.head_seq:,} are intact"
        if verdict.entries
        else "There are no new entries. The record is intact"
    )
    signed = (
        f"The record matches the checkpoint of {verdict.signed:,} entries."
        if verdict.signed is not None
        else "There was no checkpoint to compare with."
    )
    return (
        f"{new} and chained to the entries verified before. {signed} The worker is verifying the whole record"
        " again."
    )


@page()
def find(request: HttpRequest) -> HttpResponse:
    """Redirect to the request, grant or workflow with the given reference, or list matches."""
    text = request.GET.get("q", "").replace("\0", "").strip()[:MAX_QUERY]
    hit = exact(who(request), text)
    if hit is not None:
        names = {Grant: "grant", Workflow: "incident"}
        return redirect(names.get(type(hit), "request"), hit.ref)
    return render(
        request,
        "ui/search.html",
        {"q": text, "found": search(who(request), text, clock.now()) if text else None},
    )
