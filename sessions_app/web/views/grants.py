"""Grants: what they allow, what was run, extend, end, kill, review."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from broker.kernel import clock
from broker.kernel.errors import NotFound, StintError
from sessions_app.models import Grant, GrantState, RequestState
from sessions_app.operations.decide_hold import decide_hold
from sessions_app.operations.extend_grant import extend_grant
from sessions_app.operations.review_break_glass import review_break_glass
from sessions_app.operations.stop_grant import stop_grant
from sessions_app.policy.durations import say_duration
from sessions_app.queries.receipts import receipt
from sessions_app.web.doors import ACT, back, page, who
from sessions_app.web.reads.grant import GrantPage, grant_page
from sessions_app.web.reads.home import LIVE, run_counts, with_names
from sessions_app.web.reads.pages import page_of

SHOW = ("mine", "now", "all")


@page()
def index(request: HttpRequest) -> HttpResponse:
    """One's own grants, those in use now, or all that one may see."""
    show = request.GET.get("show", "mine")
    found = with_names(_visible(request))
    if show == "now":
        found = found.filter(state__in=LIVE)
    elif show != "all":
        found = found.filter(holder=who(request))
    listed = page_of(found, key="pk", before=request.GET.get("before", ""))
    context = {"page": listed, "show": show, "counts": run_counts([grant.pk for grant in listed.rows])}
    return render(request, "sessions/grants.html", context)


def _visible(request: HttpRequest) -> QuerySet[Grant]:
    return Grant.objects.visible_to(who(request))


def _find(request: HttpRequest, ref: str) -> Grant:
    grant = (
        with_names(_visible(request))
        .select_related(
            "request__requester__owner", "request__policy", "holder__owner", "ended_by", "reviewed_by"
        )
        .filter(ref=ref)
        .first()
    )
    if grant is None:
        raise Http404
    return grant


def _page(request: HttpRequest, grant: Grant) -> GrantPage:
    opened = request.GET.get("open", "")
    return grant_page(
        grant,
        who(request),
        clock.now(),
        show=request.GET.get("show", ""),
        opened=int(opened) if opened.isdecimal() and len(opened) < 18 else None,
        target=request.GET.get("target", ""),
    )


@page()
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """One grant: live while it lasts, its receipt after that."""
    return _detail(request, ref)


def _detail(request: HttpRequest, ref: str, error: StintError | None = None, form: str = "") -> HttpResponse:
    grant = _find(request, ref)
    over = grant.state in (GrantState.REVOKING, GrantState.ENDED)
    context = {
        "live": _page(request, grant),
        "grant": grant,
        "receipt": receipt(grant, clock.now()) if over else None,
        "error": error,
        "form": form,
        "typed": request.POST,
    }
    return render(request, "sessions/grant.html", context, status=error.status if error else 200)


@page()
def live(request: HttpRequest, ref: str) -> HttpResponse:
    """The parts that change; 204 when nothing did since ``seen``."""
    grant = _find(request, ref)
    shown = _page(request, grant)
    if request.GET.get("seen") == shown.seen:
        return HttpResponse(status=204)
    over = grant.state in (GrantState.REVOKING, GrantState.ENDED)
    context = {"live": shown, "grant": grant, "receipt": receipt(grant, clock.now()) if over else None}
    return render(request, "sessions/_grant_live.html", context)


@page(ACT)
def end(request: HttpRequest, ref: str) -> HttpResponse:
    """End a grant; with ``kill`` running commands are cut off even where they might finish."""
    kill = request.POST.get("kill") == "1"
    grant = stop_grant(
        grant_id=_find(request, ref).pk,
        actor=who(request),
        now=clock.now(),
        note=request.POST.get("note", ""),
        kill=kill,
    )
    messages.success(
        request, f"{grant.ref} is {'killed' if kill else 'ending'}: nothing new runs from now on."
    )
    return back(request, "grant", grant.ref)


@page(ACT)
def extend(request: HttpRequest, ref: str) -> HttpResponse:
    """Ask that an own grant ends later."""
    text = request.POST.get("seconds", "")
    seconds = int(text) if text.isdecimal() and len(text) < 10 else 0
    try:
        asked = extend_grant(
            grant_id=_find(request, ref).pk, requester=who(request), seconds=seconds,
            reason=request.POST.get("reason", ""), now=clock.now(),
        )  # fmt: skip
    except NotFound:
        raise
    except StintError as error:
        return _detail(request, ref, error, "extend")
    if asked.state == RequestState.APPROVED:
        messages.success(request, f"{ref} ends {say_duration(seconds)} later.")
    else:
        messages.success(request, f"{asked.ref} is sent. Until it is approved, {ref} ends as planned.")
    return back(request, "grant", ref)


@page(ACT)
def hold(request: HttpRequest, ref: str, run: int) -> HttpResponse:
    """Allow one held command once, or deny it."""
    grant = _find(request, ref)
    if not grant.runs.filter(pk=run).exists():
        raise Http404
    verdict = request.POST.get("verdict", "")
    if verdict not in ("allow", "deny"):
        raise Http404
    decided = decide_hold(run_id=run, actor=who(request), allow=verdict == "allow", now=clock.now())
    word = "allowed once" if verdict == "allow" else "denied"
    messages.success(request, f"{decided.line} on {decided.target} is {word}.")
    return back(request, "grant", ref)


@page(ACT)
def review(request: HttpRequest, ref: str) -> HttpResponse:
    """Say what was found behind broken glass."""
    try:
        review_break_glass(
            grant_id=_find(request, ref).pk,
            reviewer=who(request),
            note=request.POST.get("note", ""),
            now=clock.now(),
        )
    except NotFound:
        raise
    except StintError as error:
        return _detail(request, ref, error, "review")
    messages.success(request, f"{ref} is reviewed.")
    return back(request, "grant", ref)
