"""Views for grants: list, show, extend, end and review them, run commands, and download receipts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.addresses import address_of
from broker.kernel import clock
from broker.kernel.errors import NotFound, StintError
from broker.kernel.postgresql.rows import Rows, keep
from broker.kernel.snapshot import one_snapshot
from sessions_app.connectors.base import Credential
from sessions_app.models import Grant, GrantState, RequestState, Target
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.release_grant import release_grant
from sessions_app.operations.grants.retry_revoke import retry_revoke
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.grants.suspend_grant import suspend_grant
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.requests.review_break_glass import review_break_glass
from sessions_app.operations.sessions.order_command import order_command
from sessions_app.operations.sessions.order_file import too_large
from sessions_app.policy.durations import say_duration
from sessions_app.queries.grants.receipts import receipt
from sessions_app.queries.statements.composed import Listed
from sessions_app.queries.statements.related_names import unnamed
from sessions_app.web.display.recording import output_for
from sessions_app.web.display.results import is_result, result_of
from sessions_app.web.forms.narrowing import narrowed_grants
from sessions_app.web.forms.times import typed_duration
from sessions_app.web.grants.grant_page import GrantPage, grant_page
from sessions_app.web.grants.grants_page import ListAsked, found_grants, grant_list
from sessions_app.web.grants.log import Asked
from sessions_app.web.grants.runnable import values_in
from sessions_app.web.layout.views import ACT, back, page, who

View = Callable[[HttpRequest, str], HttpResponse]

FILTERS = (("mine", "Mine"), ("now", "Active now"), ("all", "All"))
LONGEST_TEXT = 100


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List grants: the reader's own, those in use now, or all visible ones. Grants that have not ended come
    first.
    """
    show = request.GET.get("show", "")
    asked = ListAsked(
        show=show if show in dict(FILTERS) else "mine",
        text=request.GET.get("q", "").strip()[:LONGEST_TEXT],
        before=request.GET.get("before", ""),
    )
    found, narrowed = narrowed_grants(found_grants(who(request), asked), request.GET)
    listed = grant_list(found, who(request), replace(asked, narrowed=bool(narrowed)), clock.now())
    context = {"list": listed, "filters": FILTERS, "asked": asked, "narrowed": narrowed}
    return render(request, "grants/grants.html", context)


_VISIBLE = Listed(lambda reader, _, ref: Grant.objects.visible_to(reader).filter(ref=ref).only("pk"), ref=str)
_TARGETS = Rows(
    Target,
    tail="JOIN sessions_app_grant_targets ON target_id = sessions_app_target.id WHERE grant_id = %s",
)

_PEOPLE = (
    "holder",
    "holder__owner",
    "request__requester",
    "request__requester__owner",
    "ended_by",
    "held_by",
    "reviewed_by",
    "parent__holder",
)


# Every column that the page of a grant could show; Django would compose them anew for each page.
_GRANT = Rows(
    Grant,
    "policy",
    "cluster",
    "command_set_version__command_set",
    "request__requester__owner",
    "request__policy",
    "holder__owner",
    "ended_by",
    "held_by",
    "reviewed_by",
    "workflow",
    "parent__holder",
    tail="WHERE sessions_app_grant.id = %s",
    without=unnamed(*_PEOPLE),
)


def find_grant(request: HttpRequest, ref: str) -> Grant:
    """Return a visible grant with the related rows that the page uses. Raises Http404."""
    seen = next(iter(_VISIBLE(who(request), clock.now(), ref=ref)), None)
    grant = _GRANT.first(seen.pk) if seen is not None else None
    if grant is None:
        raise Http404
    keep(grant.targets, _TARGETS(grant.pk))
    return grant


def number_of(text: str) -> int | None:
    """Return a number from a form or an address; None for anything else."""
    return int(text) if text.isdecimal() and len(text) < 18 else None


def _page(request: HttpRequest, ref: str) -> GrantPage:
    query = request.GET
    asked = Asked(
        show=query.get("show", ""),
        before=query.get("before", ""),
        opened=number_of(query.get("open", "")),
        order=number_of(query.get("order", "")),
    )
    target = request.POST.get("target") or query.get("target", "")
    with one_snapshot():
        grant = find_grant(request, ref)
        return grant_page(
            grant, who(request), clock.now(), asked=asked, target=target, typed=request.POST.dict()
        )


def _output(request: HttpRequest, shown: GrantPage) -> dict[str, object]:
    """Return the output or the result that the page shows, after recording that the reader viewed it."""
    run = shown.log.opened
    if run is not None and is_result(run):
        return result_of(run, who(request), clock.now())
    return {"output": output_for(run, who(request), clock.now()) if run else None}


@page(writes=True)
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """Show one grant: its live state, or its receipt after the end.

    A proxy that refuses an upload because of its size redirects here with ``too_large``.
    """
    return _detail(request, ref, too_large() if "too_large" in request.GET else None)


def stays_at(form: str) -> Callable[[View], View]:
    """Return a decorator for views of forms on the grant's page. It shows errors at the form, with the typed
    values.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def answer(request: HttpRequest, ref: str) -> HttpResponse:
            try:
                return view(request, ref)
            except NotFound:
                raise
            except StintError as error:
                return _detail(request, ref, error, form)

        return answer

    return decorate


def _detail(
    request: HttpRequest,
    ref: str,
    error: StintError | None = None,
    form: str = "",
    issued: Credential | None = None,
) -> HttpResponse:
    """Show a grant. ``form`` is the submitted form; if the page no longer has that form, the error is shown
    at the top. ``issued`` is shown but never stored.
    """
    live = _page(request, ref)
    failed = request.POST.get("index", "") if form == "run" else ""
    context = {
        "live": live,
        "grant": live.grant,
        **_output(request, live),
        "error": error,
        "form": form if live.has_form(form, number_of(failed or request.POST.get("seconds", ""))) else "",
        "failed": number_of(failed),
        "extended_by": number_of(request.POST.get("seconds", "")),
        "typed": request.POST,
        "delegating": request.POST if form == "delegate" else {},
        "issued": issued,
    }
    return render(request, "grants/grant.html", context, status=error.status if error else 200)


@page(writes=True)
def live(request: HttpRequest, ref: str) -> HttpResponse:
    """Return the live part of the page, or 204 if it hasn't changed since ``seen``."""
    shown = _page(request, ref)
    if request.GET.get("seen") == shown.seen:
        return HttpResponse(status=204)
    context = {"live": shown, "grant": shown.grant, **_output(request, shown)}
    return render(request, "grants/_grant_live.html", context)


@page()
def receipt_file(request: HttpRequest, ref: str) -> HttpResponse:
    """Download the receipt: what was approved, run and refused, how the grant ended, and what was
    verified.
    """
    grant = find_grant(request, ref)
    answer = JsonResponse(receipt(grant, clock.now()), json_dumps_params={"indent": 2})
    answer["Content-Disposition"] = f'attachment; filename="{grant.ref}-receipt.json"'
    return answer


@page(ACT)
@stays_at("run")
def run(request: HttpRequest, ref: str) -> HttpResponse:
    """Queue one allowed command for a gateway, and redirect to the place where its output will appear."""
    grant = find_grant(request, ref)
    index = number_of(request.POST.get("index", ""))
    if index is None:
        index = -1
    order = order_command(
        grant_id=grant.pk,
        actor=who(request),
        target=request.POST.get("target", ""),
        index=index,
        values=values_in(request.POST.dict(), index),
        client_address=address_of(request),
        now=clock.now(),
    )
    query = urlencode({"order": order.pk, "target": request.POST.get("target", "")})
    return redirect(f"{reverse('grant', args=[ref])}?{query}#log")


@page(ACT)
@stays_at("credential")
def credential(request: HttpRequest, ref: str) -> HttpResponse:
    """Issue and show the credential for a target. Only this response shows it."""
    issued = issue_credential(
        grant_id=find_grant(request, ref).pk,
        actor=who(request),
        target=request.POST.get("target") or None,
        now=clock.now(),
    )
    return _detail(request, ref, issued=issued)


@page(ACT)
@stays_at("suspend")
def suspend(request: HttpRequest, ref: str) -> HttpResponse:
    """Suspend a grant: nothing new can run until it is resumed."""
    suspend_grant(
        grant_id=find_grant(request, ref).pk,
        actor=who(request),
        note=request.POST.get("note", ""),
        now=clock.now(),
    )
    messages.success(request, f"{ref} is suspended. Running commands continue.")
    return back(request, "grant", ref)


@page(ACT)
@stays_at("release")
def release(request: HttpRequest, ref: str) -> HttpResponse:
    """Resume a suspended grant."""
    release_grant(
        grant_id=find_grant(request, ref).pk,
        actor=who(request),
        note=request.POST.get("note", ""),
        now=clock.now(),
    )
    messages.success(request, f"{ref} is resumed: new commands can run.")
    return back(request, "grant", ref)


@page(ACT)
def retry(request: HttpRequest, ref: str) -> HttpResponse:
    """Retry the revocation of an ending grant now."""
    grant = retry_revoke(grant_id=find_grant(request, ref).pk, actor=who(request), now=clock.now())
    if grant.state == GrantState.ENDED:
        messages.success(request, f"{ref} has already ended.")
    else:
        messages.success(request, f"Retrying the revocation of {ref} now.")
    return back(request, "grant", ref)


@page(ACT)
@stays_at("end")
def end(request: HttpRequest, ref: str) -> HttpResponse:
    """End a grant. With ``kill``, also terminate running commands that could otherwise finish."""
    kill = request.POST.get("kill") == "1"
    grant = stop_grant(
        grant_id=find_grant(request, ref).pk,
        actor=who(request),
        now=clock.now(),
        note=request.POST.get("note", ""),
        kill=kill,
    )
    messages.success(
        request,
        f"You ended {grant.ref}. {'Everything running is terminated.' if kill else 'Nothing new can start.'}",
    )
    return back(request, "grant", grant.ref)


@page(ACT)
@stays_at("extend")
def extend(request: HttpRequest, ref: str) -> HttpResponse:
    """Extend one of the reader's grants, or request its extension."""
    text = request.POST.get("seconds", "")
    seconds = int(text) if text.isdecimal() and len(text) < 10 else 0
    asked = extend_grant(
        grant_id=find_grant(request, ref).pk,
        requester=who(request),
        seconds=seconds,
        reason=request.POST.get("reason", ""),
        now=clock.now(),
    )
    if asked.state == RequestState.APPROVED:
        messages.success(request, f"{ref} extended by {say_duration(seconds)}.")
    else:
        messages.success(request, f"{asked.ref} submitted. Until it is approved, {ref} ends as planned.")
    return back(request, "grant", ref)


@page(ACT)
@stays_at("delegate")
def delegate(request: HttpRequest, ref: str) -> HttpResponse:
    """Delegate the commands of one of the reader's grants, for at most the remaining time."""
    grant = find_grant(request, ref)
    made = delegate_grant(grant_id=grant.pk, actor=who(request), part=_part(request, grant), now=clock.now())
    messages.success(request, f"{made.ref} granted to {made.holder}. It ends with {ref} at the latest.")
    return back(request, "grant", ref)


def _part(request: HttpRequest, grant: Grant) -> Part:
    span = request.POST.get("duration", "").strip()
    return Part(
        identity=request.POST.get("identity", ""),
        command_set=request.POST.get("command_set") or grant.command_set_version.command_set.name,
        parameters={},
        duration=typed_duration(span) if span else None,
        reason=request.POST.get("reason", ""),
    )


@page(ACT)
@stays_at("review")
def review(request: HttpRequest, ref: str) -> HttpResponse:
    """Record the review of break-glass access."""
    review_break_glass(
        grant_id=find_grant(request, ref).pk,
        reviewer=who(request),
        note=request.POST.get("note", ""),
        now=clock.now(),
    )
    messages.success(request, f"{ref} reviewed.")
    return back(request, "grant", ref)
