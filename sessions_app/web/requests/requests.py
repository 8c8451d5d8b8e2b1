"""Views for requesters: request access, follow requests, and withdraw them."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import replace

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.models import Identity
from broker.kernel import clock
from broker.kernel.errors import InvalidInput, NotFound, StintError
from sessions_app.models import (
    AccessRequest,
    BookmarkPage,
    Grant,
    RequestKind,
    RequestState,
    WorkflowState,
)
from sessions_app.operations.requests.check_request import NewRequest, check_request
from sessions_app.operations.requests.comment_request import comment_request
from sessions_app.operations.requests.delete_bookmark import delete_bookmark
from sessions_app.operations.requests.remind_request import remind_request
from sessions_app.operations.requests.request_access import request_access
from sessions_app.operations.requests.save_bookmark import save_bookmark
from sessions_app.operations.requests.withdraw_request import withdraw_request
from sessions_app.operations.workflows.read_named_workflow import read_named_workflow
from sessions_app.policy import references
from sessions_app.queries.requests.deciders import read_verdicts
from sessions_app.queries.requests.facts import targets_of
from sessions_app.queries.statements.composed import Listed, first_of
from sessions_app.queries.statements.related_names import with_approvals, with_names
from sessions_app.web.display.cards import request_cards
from sessions_app.web.display.states import BREAK_GLASS, REQUEST
from sessions_app.web.forms.faults import faults_of
from sessions_app.web.forms.narrowing import narrowed_requests
from sessions_app.web.forms.request_draft import Draft, draft_of_form, draft_of_link, draft_of_request
from sessions_app.web.layout.pagination import SIZE, page_from, page_of
from sessions_app.web.layout.views import ACT, FORM, back, page, who
from sessions_app.web.requests.again import again
from sessions_app.web.requests.asking_page import AskPage, ask_page
from sessions_app.web.requests.outcome import SOFT, FormOutcome
from sessions_app.web.requests.request_page import request_page
from sessions_app.web.requests.set_options import usual_wait
from sessions_app.web.templatetags.times import say_moment

# The states in the filter of the list.
STATES = [
    *((value, look.word) for value, look in REQUEST.items()),
    (str(RequestKind.BREAK_GLASS), BREAK_GLASS.word),
]
# The rules that don't depend on time, by their names in faults.
UNTIMED = frozenset(rule.tag for rule in SOFT)


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Show the form and its outcome. Submitting the form requests access."""
    if request.method != "POST":
        return _form(request, _draft_of(request))
    draft = draft_of_form(request.POST)
    if offer := request.POST.get("apply"):
        return _form(request, draft.applied(offer))
    if "save" in request.POST:
        return _save(request, draft)
    if "read" in request.POST:
        return _read(request, draft)
    if "send" not in request.POST:
        return _form(request, draft)
    try:
        ask = replace(_asked(who(request), draft), once=request.POST.get("once", ""))
        asked = request_access(requester=who(request), ask=ask, now=clock.now())
    except StintError as error:
        return _form(request, draft, error)
    return _after(request, asked)


def _asked(me: Identity, draft: Draft) -> NewRequest:
    """Return what a form requests. Raises InvalidInput with all errors together."""
    if not draft.cluster:
        # The other fields appear after a cluster is selected.
        draft = replace(draft, duration="1h", day="", hour="")
    try:
        return draft.new_request()
    except InvalidInput as error:
        rest = replace(draft, duration="1h", day="", hour="").new_request()
        raise InvalidInput(
            error.message, hint=error.hint, fields={**_faults(me, rest), **error.fields}
        ) from error


def _faults(me: Identity, ask: NewRequest) -> dict[str, list[str]]:
    """Return the errors of a request, except those that depend on time."""
    try:
        found = check_request(requester=me, ask=ask, now=clock.now()).decision.faults
    except StintError as error:
        found = error.fields
    return {name: texts for name, texts in found.items() if name in UNTIMED or name.startswith("parameters.")}


def _draft_of(request: HttpRequest) -> Draft:
    """Return the draft encoded in a link. `?from=REQ-…` repeats a request, in the next window if the policy
    has windows.
    """
    ref = request.GET.get("from", "")
    if not ref:
        return draft_of_link(request.GET)
    asked = find(request, ref)
    draft = draft_of_request(asked, [target.name for target in targets_of(asked)])
    answer = _outcome(who(request), ask_page(who(request), draft, clock.now()))
    refusals = answer.preview.decision.refusals if answer.preview else ()
    starts = [result.offer["starts_at"] for result in refusals if result.offer.get("starts_at")]
    return draft.applied(f"starts_at={max(starts)}") if starts else draft


def _read(request: HttpRequest, draft: Draft) -> HttpResponse:
    """Read the workflow from its source, so that the form can show the outcome."""
    try:
        workflow = read_named_workflow(reader=who(request), ref=draft.workflow, now=clock.now())
        if workflow.state == WorkflowState.CLOSED:
            raise InvalidInput(f"{workflow.ref} is closed.", hint="Choose an open workflow.")
    except StintError as error:
        return _form(request, draft, error)
    return _form(request, replace(draft, incident=workflow.ref, other_workflow=""))


def _save(request: HttpRequest, draft: Draft) -> HttpResponse:
    name = request.POST.get("bookmark", "")
    try:
        saved = save_bookmark(
            identity=who(request),
            page=BookmarkPage.REQUEST,
            name=name,
            query=draft.as_query(),
            now=clock.now(),
        )
    except StintError as error:
        return _form(request, draft, error)
    messages.success(request, f"{saved.name} saved. You can start from it next time.")
    return redirect(f"{reverse('request_new')}?{saved.query}")


@page(ACT)
def delete_saved(request: HttpRequest, bookmark: int) -> HttpResponse:
    """Delete a saved request."""
    delete_bookmark(bookmark_id=bookmark, identity=who(request))
    messages.success(request, "Saved request deleted.")
    return back(request, "request_new")


def _after(request: HttpRequest, asked: AccessRequest) -> HttpResponse:
    if asked.state == RequestState.APPROVED:
        start, now = asked.grant.starts_at, clock.now()
        at = f"starts automatically {say_moment(start, now)}" if start > now else "is starting"
        messages.success(request, f"{asked.ref} needed no approval. Your access {at}.")
        return redirect("grant", asked.grant.ref)
    messages.success(request, f"{asked.ref} submitted. Approvers have been notified.")
    return redirect("request", asked.ref)


def _form(request: HttpRequest, draft: Draft, error: StintError | None = None) -> HttpResponse:
    me = who(request)
    ask = ask_page(me, draft, clock.now())
    outcome = _outcome(me, ask, error)
    context = {
        "outcome": outcome,
        "ask": ask,
        "again": again(me),
        "saved": me.bookmarks.filter(page=BookmarkPage.REQUEST).order_by("name"),
        "bookmark": request.POST.get("bookmark", ""),
        "error": error,
    }
    return render(request, "requests/request_new.html", context, status=error.status if error else 200)


@page(ACT)
def preview(request: HttpRequest) -> HttpResponse:
    """Show the outcome of the form. Also update the fields after a change of cluster, command set or kind."""
    draft = draft_of_form(request.POST)
    if draft.kind == RequestKind.PLANNED and draft.workflow != request.POST.get(
        "shown_incident", draft.workflow
    ):
        # The workflow was just selected: suggest values that suit it, and drop the previous ones.
        draft = replace(draft, command_set="", duration=request.POST.get("other_duration", "").strip())
    ask = ask_page(who(request), draft, clock.now())
    names = ("shown_kind", "shown_incident", "shown_cluster", "shown_set")
    shown = tuple(request.POST.get(name, "") for name in names)
    is_now = (ask.draft.kind, ask.draft.workflow, ask.draft.cluster, ask.draft.command_set)
    context = {
        "outcome": _outcome(who(request), ask),
        "ask": ask,
        "changed": shown != is_now,
        "moved": shown[:2] != is_now[:2] or (ask.where.has_search and shown[2] != is_now[2]),
        "found": request.POST.get("shown_find", "") != ask.draft.find,
    }
    return render(request, "requests/_preview.html", context)


def _outcome(identity: Identity, ask: AskPage, error: StintError | None = None) -> FormOutcome:
    """Return the result of the dry run, or the reason why there is none yet. ``error`` is the error of the
    submitted form.
    """
    now = clock.now()
    found = FormOutcome(ask=ask, now=now, faults=faults_of(error, ask.names), failed=error is not None)
    if not ask.sets or ask.still_open or ask.unread or not ask.draft.seconds:
        return found
    try:
        preview = check_request(requester=identity, ask=ask.draft.new_request(), now=now)
    except StintError as missing:
        return replace(found, missing=missing)
    usual = usual_wait(preview.policy) if preview.decision.clauses else None
    overdue = [ref for result in preview.decision.refusals for ref in result.offer.get("review", ())]
    # This account might not be allowed to see a grant held by another account of the same person.
    seen = Grant.objects.visible_to(identity).filter(ref__in=overdue).values_list("ref", flat=True)
    return replace(found, preview=preview, usual=usual, to_review=list(seen))


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the reader's own requests, or all visible ones."""
    me, now = who(request), clock.now()
    everybody = request.GET.get("show", "mine") == "all"
    state = request.GET.get("state", "")
    state = state if state in dict(STATES) else ""
    found, narrowed = narrowed_requests(_found(me, everybody=everybody, state=state), request.GET)
    before = request.GET.get("before", "")
    if narrowed:
        listed = page_of(_shown(found), key="number", before=before)
    else:
        rows = functools.partial(_listed(everybody, state), me, now)
        listed = page_from(lambda limit: rows(below=limit), key="number", before=before)
    with_approvals(listed.rows)
    context = {
        "narrowed": narrowed,
        "page": listed,
        "cards": request_cards(listed.rows, now),
        "everybody": everybody,
        "state": request.GET.get("state", ""),
        "states": STATES,
    }
    return render(request, "requests/requests.html", context)


def _found(reader: Identity, *, everybody: bool, state: str) -> QuerySet[AccessRequest]:
    found = AccessRequest.objects.visible_to(reader)
    if not everybody:
        found = found.filter(requester=reader)
    return found.filter(_in_state(state)) if state else found


def _shown(found: QuerySet[AccessRequest]) -> QuerySet[AccessRequest]:
    return with_names(found).select_related("grant")


@functools.cache
def _listed(everybody: bool, state: str) -> Listed[AccessRequest]:  # a key
    """Return the list with this filter, as a statement composed once."""

    def compose(reader: Identity, _: dt.datetime, below: int) -> QuerySet[AccessRequest]:
        found = _found(reader, everybody=everybody, state=state).filter(number__lt=below)
        return _shown(first_of(found, "-number", most=SIZE + 1))

    return Listed(compose, below=int)


def _in_state(state: str) -> Q:
    """Return the condition of a state in the filter. Break-glass access is approved by no one."""
    unapproved = Q(kind=RequestKind.BREAK_GLASS, state=RequestState.APPROVED)
    if state == RequestKind.BREAK_GLASS:
        return unapproved
    return Q(state=state) & ~unapproved if state == RequestState.APPROVED else Q(state=state)


@page()
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """Show one request and its state."""
    past = "past" in request.GET
    context = request_page(find(request, ref), who(request), clock.now(), deciding=False, past=past)
    return render(request, "requests/request.html", context)


_REQUEST = Listed(
    lambda reader, _, number: (
        AccessRequest.objects.visible_to(reader)
        .filter(number=number)
        .select_related(
            # Few requests extend a grant, so the grant is read only for those.
            "grant",
            "requester__owner",
            "workflow__source",
            "workflow__assignee",
            "cluster",
            "policy",
            "command_set_version__command_set",
        )
    ),
    number=int,
)


def find(request: HttpRequest, ref: str) -> AccessRequest:
    """Return a request. Raises Http404 if it doesn't exist or the reader can't see it."""
    found = _REQUEST(who(request), clock.now(), number=references.request_number(ref))
    if not found:
        raise Http404
    read_verdicts(found[0])
    return found[0]


@page(ACT)
def remind(request: HttpRequest, ref: str) -> HttpResponse:
    """Remind the people who can still decide on one of the reader's requests."""
    asked = remind_request(request_id=find(request, ref).pk, actor=who(request), now=clock.now())
    messages.success(request, f"Approvers of {asked.ref} reminded.")
    return back(request, "request", asked.ref)


@page(ACT)
def comment(request: HttpRequest, ref: str) -> HttpResponse:
    """Add a comment to a request."""
    asked = find(request, ref)
    for_approvers = request.POST.get("page") == "approval"
    try:
        comment_request(
            request_id=asked.pk, author=who(request), text=request.POST.get("text", ""), now=clock.now()
        )
    except NotFound:
        raise
    except StintError as error:
        context = {
            **request_page(asked, who(request), clock.now(), deciding=for_approvers, past=False),
            "thread_error": error,
            "text": request.POST.get("text", ""),
        }
        template = "requests/approval.html" if for_approvers else "requests/request.html"
        return render(request, template, context, status=error.status)
    return redirect(f"{reverse('approval' if for_approvers else 'request', args=[ref])}#thread")


@page(ACT)
def withdraw(request: HttpRequest, ref: str) -> HttpResponse:
    """Withdraw one of the reader's requests."""
    asked = withdraw_request(request_id=find(request, ref).pk, actor=who(request), now=clock.now())
    messages.success(request, f"{asked.ref} withdrawn.")
    return back(request, "request", asked.ref)
