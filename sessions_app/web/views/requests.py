"""Ask for access, see what was asked, take it back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.models import Identity
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import AccessRequest, RequestKind, RequestState
from sessions_app.operations.check_request import check_request
from sessions_app.operations.request_access import request_access
from sessions_app.operations.withdraw_request import withdraw_request
from sessions_app.web.doors import ACT, FORM, back, page, who
from sessions_app.web.forms import Draft, draft_of_form, draft_of_link
from sessions_app.web.reads.asking import AskPage, ask_page
from sessions_app.web.reads.deciding import request_page
from sessions_app.web.reads.home import again, with_names
from sessions_app.web.reads.pages import page_of

# What is missing because nobody has typed it yet is said as a question, not as a refusal.
SOFT = ("reason", "ticket")


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """The form, and what will happen; sending it asks."""
    if request.method != "POST":
        return _form(request, draft_of_link(request.GET))
    draft = draft_of_form(request.POST)
    if offer := request.POST.get("apply"):
        return _form(request, draft.applied(offer))
    if "send" not in request.POST:
        return _form(request, draft)
    try:
        asked = request_access(requester=who(request), ask=draft.new_request(), now=clock.now())
    except StintError as error:
        return _form(request, draft, error)
    return _after(request, asked)


def _after(request: HttpRequest, asked: AccessRequest) -> HttpResponse:
    if asked.state == RequestState.APPROVED:
        messages.success(request, f"{asked.ref} needed no approval: your access starts.")
        return redirect("grant", asked.grant.ref)
    messages.success(request, f"{asked.ref} is sent. Its approvers are told.")
    return redirect("request", asked.ref)


def _form(request: HttpRequest, draft: Draft, error: StintError | None = None) -> HttpResponse:
    ask = ask_page(who(request), draft, clock.now())
    context = {
        **_outcome(who(request), ask),
        "ask": ask,
        "again": again(who(request)),
        "kinds": _kinds(ask),
        "error": error,
    }
    return render(request, "sessions/request_new.html", context, status=error.status if error else 200)


def _kinds(ask: AskPage) -> list[RequestKind]:
    kinds = [RequestKind.PLANNED, RequestKind.QUICK]
    return [*kinds, RequestKind.BREAK_GLASS] if ask.may_break_glass else kinds


@page(ACT)
def preview(request: HttpRequest) -> HttpResponse:
    """What will happen, for the form as it stands; the fields too, when another cluster, set or kind was chosen."""
    draft = draft_of_form(request.POST)
    ask = ask_page(who(request), draft, clock.now())
    shown = (request.POST.get("shown_kind"), request.POST.get("shown_cluster"), request.POST.get("shown_set"))
    changed = shown != (ask.draft.kind, ask.draft.cluster, ask.draft.command_set)
    context = {**_outcome(who(request), ask), "ask": ask, "changed": changed}
    return render(request, "sessions/_preview.html", context)


def _outcome(identity: Identity, ask: AskPage) -> dict[str, Any]:
    """Return the answer of the evaluator, or why it can't answer yet."""
    context: dict[str, Any] = {"preview": None, "open": None, "soft": SOFT, "refused": False}
    if not ask.sets or ask.still_open:
        return context
    try:
        preview = check_request(requester=identity, ask=ask.draft.new_request(), now=clock.now())
    except StintError as error:
        return {**context, "open": error}
    refused = any(result.rule not in SOFT for result in preview.decision.refusals)
    return {**context, "preview": preview, "refused": refused}


@page()
def index(request: HttpRequest) -> HttpResponse:
    """One's own requests, or all that one may see."""
    show = request.GET.get("show", "mine")
    found = with_names(AccessRequest.objects.visible_to(who(request))).select_related("grant")
    if show != "all":
        found = found.filter(requester=who(request))
    if (state := request.GET.get("state", "")) in RequestState.values:
        found = found.filter(state=state)
    listed = page_of(found, key="number", before=request.GET.get("before", ""))
    context = {"page": listed, "show": show, "state": state, "states": RequestState.choices}
    return render(request, "sessions/requests.html", context)


@page()
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """One request and how it stands."""
    return render(
        request, "sessions/request.html", request_page(find(request, ref), who(request), clock.now())
    )


def find(request: HttpRequest, ref: str) -> AccessRequest:
    """Return a request that the reader may see. Not there and not for them are the same answer."""
    number = ref.removeprefix("REQ-")
    found = with_names(AccessRequest.objects.visible_to(who(request))).select_related(
        "grant", "extends", "requester__owner"
    )
    asked = found.filter(number=int(number)).first() if len(number) < 10 else None
    if asked is None:
        raise Http404
    return asked


@page(ACT)
def withdraw(request: HttpRequest, ref: str) -> HttpResponse:
    """Take an own request back."""
    asked = withdraw_request(request_id=find(request, ref).pk, actor=who(request), now=clock.now())
    messages.success(request, f"{asked.ref} is withdrawn.")
    return back(request, "request", asked.ref)
